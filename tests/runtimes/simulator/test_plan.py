"""Plans are made once for a network and go with it."""

import gc
import weakref

import numpy as np

from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes.simulator import run
from ranvier.runtimes.simulator.forms import Ends, chip_scatter
from ranvier.runtimes.simulator.layouts import ConvForm
from ranvier.runtimes.simulator.memory import LINE, aligned
from ranvier.runtimes.simulator.plan import lower


def network(weight: int) -> ChipNetwork:
    """Four inputs, three neurons, all weights alike."""
    params = {"du": np.array(0), "dv": np.array(0), "vth": np.array(1), "bias": np.array(0)}
    layer = Population("n", (3,), chip_lif(Features()), params, {"u": np.array(0), "v": np.array(0)}, 1)
    synapse = DenseSynapse(np.full((3, 4), weight, np.int32))
    return ChipNetwork(
        "net",
        "loihi2",
        (Port("x", (4,)),),
        (layer,),
        (Connection("c", "x", "n", synapse, 0, "mixed", 0),),
        Readout("n"),
    )


def test_a_network_is_lowered_once_and_networks_alike_are_not_mistaken() -> None:
    first, second = network(2), network(0)
    inputs = np.ones((1, 2, 4), np.uint8)
    assert lower(first) is lower(first)
    assert lower(first) is not lower(second)
    assert run(first, inputs).outputs.any()
    assert not run(second, inputs).outputs.any()
    np.testing.assert_array_equal(run(first, inputs).outputs, run(first, inputs).outputs)


def test_a_plan_does_not_outlive_its_network() -> None:
    made = network(2)
    run(made, np.ones((1, 2, 4), np.uint8))
    plan, alive = weakref.ref(lower(made)), weakref.ref(made)
    del made
    gc.collect()
    assert alive() is None
    assert plan() is None


def test_weights_begin_at_cache_lines() -> None:
    for shape in ((3,), (2, 5, 64), (0, 4)):
        values = aligned(shape, np.int16)
        assert values.shape == shape
        assert values.ctypes.data % LINE == 0 or values.size == 0
        assert not values.any()
    assert all(link.scatter.form.tiles.ctypes.data % LINE == 0 for link in lower(network(2)).links)


def test_every_position_of_a_convolution_has_as_many_taps() -> None:
    weight = np.arange(1, 26, dtype=np.int32).reshape(1, 1, 5, 5)
    synapse = ConvSynapse(weight, (1, 9, 9), (1, 4, 4), (2, 2), ((1, 1), (1, 1)), (1, 1), 1)
    form = chip_scatter(synapse, Ends(np.arange(81), np.arange(16))).form
    assert isinstance(form, ConvForm)
    assert form.down_tap.shape == form.down_out.shape == (9, 3)
    assert not form.weight[:, 5].any()
    assert not form.weight[:, :, 5].any()
    assert form.down_out.min() >= 0
    assert form.down_out.max() == 3 * 4
