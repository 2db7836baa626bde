"""Networks that SLAYER trained, against lava-dl's ground truth and a trace of a real Loihi 2."""

import gzip
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ConvSynapse
from ranvier.compiler.ir.linear import Conv, Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import RegisterLif
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.frontends.netx import load_netx
from ranvier.runtimes import oracle, reference, simulator
from ranvier.runtimes.observe import observe
from ranvier.runtimes.recording import Recording
from ranvier.targets.load import load_target
from support.data import test_data

Array = NDArray[Any]


def mnist(name: str, header: int) -> Array:
    with gzip.open(test_data("mnist", name)) as file:
        return np.frombuffer(file.read()[header:], np.uint8)


def integrated(images: Array, steps: int) -> Array:
    """The spike source of lava-dl's MNIST example: integrate the image, fire above 1, reset to 0."""
    v, frames = np.zeros(images.shape), np.zeros((images.shape[0], steps, images.shape[1]), np.int8)
    for t in range(steps):
        v += images
        frames[:, t] = v > 1
        v[v > 1] = 0
    return frames


def test_the_mnist_network_reaches_its_reference_accuracy() -> None:
    network = load_netx(test_data("lava_dl", "mnist_784_128_64_10.net"))
    images, labels = mnist("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784), mnist("t10k-labels-idx1-ubyte.gz", 8)
    frames = integrated(images[:4000] / 255, 20)
    right = np.concatenate([reference.run(network, part).predictions for part in np.split(frames, 4)]) == labels[:4000]
    assert int(right.sum()) == 3759, "93.98 %"
    assert right[:25].all()


def at_steps(recorded: Array, shift: int) -> Array:
    """(steps, ...) in C, H, W order of a recording (W, H, C, steps) or (neurons, steps) that starts ``shift`` late."""
    return np.moveaxis(recorded, -1, 0)[shift:].transpose(0, *range(recorded.ndim - 1, 0, -1))


@pytest.mark.parametrize("prepared", [False, True])
def test_tinynet_equals_its_ground_truth(prepared: bool) -> None:
    folder = test_data("lava_dl", "tinynet")
    network = load_netx(folder / "tiny.net")
    mantissas = np.load(folder / "input_bias.npy").transpose(2, 1, 0)
    inputs = np.broadcast_to((mantissas - 34) / 36, (1, 16, *mantissas.shape))
    recording = reference.run(prepare(network) if prepared else network, inputs, record=("spikes", "states"))
    for file, found in (
        ("input", recording.spikes["input0"]),
        ("layer1", recording.spikes["conv1"]),
        ("output", recording.spikes["conv2"]),
        ("current", recording.states["conv1"]["u"] / 64),
    ):
        wanted = np.moveaxis(np.load(folder / f"{file}.npy")[0], -1, 0)
        np.testing.assert_array_equal(found[0][:15], wanted[1:])
        assert wanted.any()


@pytest.fixture(scope="module")
def pilotnet() -> Recording:
    folder = test_data("lava_dl", "pilotnet_lif")
    mantissas = np.load(folder / "image.npy").transpose(2, 1, 0)
    inputs = np.broadcast_to((mantissas - 36) / 40, (1, 17, *mantissas.shape))
    return reference.run(load_netx(folder / "network.net"), inputs, record=("spikes", "states"))


@pytest.mark.parametrize(
    ("file", "layer", "shift"),
    [
        ("conv-3", "conv4", 4),
        ("conv-4", "conv5", 5),
        ("fc-0", "dense7", 6),
        ("fc-1", "dense8", 7),
        ("fc-2", "dense9", 8),
    ],
)
def test_pilotnet_equals_its_ground_truth_until_the_second_sample(
    pilotnet: Recording, file: str, layer: str, shift: int
) -> None:
    folder = test_data("lava_dl", "pilotnet_lif")
    fired, u, v = (at_steps(np.load(folder / f"{file}{part}.npy"), shift)[:17] for part in ("", "-u", "-v"))
    steps = fired.shape[0]
    assert steps >= 16
    np.testing.assert_array_equal(pilotnet.spikes[layer][0, :steps], fired)
    np.testing.assert_array_equal(pilotnet.states[layer]["u"][0, :steps], u)
    silent = ~fired.astype(bool)
    np.testing.assert_array_equal(pilotnet.states[layer]["v"][0, :steps][silent], v[silent])
    assert u.any()


def test_axonal_delays_equal_lava_dls_ground_truth() -> None:
    """NTIDIGITS, 64-256-256-242 with delays of 0 to 62 steps; its files are in the wheel of lava-dl 0.6.0."""
    folder = test_data("lava_dl", "ntidigits")
    network = load_netx(folder / "ntidigits.net")
    events, wanted = np.load(folder / "input.npy").T[None], np.load(folder / "output.npy").T
    prepared = prepare(network)
    shaped = events.reshape(1, -1, *network.inputs[0].shape)
    spikes = simulator.run(prepared, shaped, ("spikes",)).spikes["dense4"][0]
    np.testing.assert_array_equal(spikes[:-4], wanted[4:])
    assert int(wanted.sum()) == 22572
    chip = lower(prepared, load_target("loihi2"), observe(prepared, shaped), Options())
    np.testing.assert_array_equal(simulator.run(chip, shaped, ("spikes",)).spikes["dense4"][0], spikes)


def test_one_neuron_equals_a_loihi_2_chip() -> None:
    entering, membrane, fired = np.loadtxt(test_data("nir_paper", "lif", "lif_lava_loihi_fixed.csv"), delimiter=",").T
    model = RegisterLif(np.array(4095), np.array(163), np.array(25))
    nodes = Input("in", (1,), "spikes"), Dense("w", np.array([[10.0]])), Neurons("lif", (1,), model)
    network = Network("lif", nodes, (Edge("in", "w"), Edge("w", "lif")), Readout("lif"))
    recording = reference.run(network, entering[None, :, None], record=("states",))
    late = slice(0, -1)
    np.testing.assert_array_equal(recording.outputs.ravel()[late], fired[1:])
    silent = fired[1:] == 0
    np.testing.assert_array_equal(recording.states["lif"]["v"].ravel()[late][silent], membrane[1:][silent])
    assert np.flatnonzero(fired).tolist() == [461, 511, 711, 761]
    np.testing.assert_array_equal(simulator.run(prepare(network), entering[None, :, None]).outputs, recording.outputs)


def test_compiled_integers_are_those_of_the_file() -> None:
    folder = test_data("lava_dl", "tinynet")
    network = load_netx(folder / "tiny.net")
    mantissas = np.load(folder / "input_bias.npy").transpose(2, 1, 0)
    inputs = np.broadcast_to((mantissas - 34) / 36, (1, 16, *mantissas.shape))
    prepared = prepare(network)
    chip = lower(prepared, load_target("loihi2"), observe(prepared, inputs), Options())
    outputs = oracle.run(chip, inputs).outputs
    np.testing.assert_array_equal(outputs[0, :15], np.moveaxis(np.load(folder / "output.npy")[0], -1, 0)[1:])
    kernels = {c.name: c.synapse.weight for c in chip.connections if isinstance(c.synapse, ConvSynapse)}
    for op in network.linears:
        if isinstance(op, Conv):
            np.testing.assert_array_equal(kernels[op.name], op.weight)
