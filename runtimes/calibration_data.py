"""Whether calibration data are worth fitting to: constant, few, of another scale, or leaving layers silent.

What a network cannot take at all (shape, type, NaN, values that are no spikes) is refused by ``check_inputs``. What is
found here does not stand in the way of compiling, but makes the fitted ranges doubtful: each finding is a note, which
the program carries into every report.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.network import Input, Network, Neurons, Note, Observed
from ranvier.runtimes import simulator

FEW_SAMPLES = 10
EVERY_STEP = 0.95
"""The share of steps with a spike from which on a neuron counts as saturated."""
MOST = 0.5
"""The share of saturated neurons among the active ones from which on the data count as too large."""
FEW_STEPS = 5
"""Below this number of steps a neuron that spikes in all of them is nothing unusual."""
TRIED = 16
BYTE = 255


def calibration_notes(network: Network, inputs: NDArray[Any], observed: Mapping[str, Observed]) -> tuple[Note, ...]:
    """What is doubtful about ``inputs`` (samples, steps, *shape), which ``check_inputs`` has let pass.

    ``network`` is folded, ``observed`` what the inputs did to it: RV840 constant, RV841 silent, RV842 all samples
    alike, RV843 few samples, RV844 a layer never spikes, RV845 a layer spikes in every step, RV846 beyond the range
    that the input was imported with, RV847 values so large that neurons spike always or never.
    """
    port = network.inputs[0]
    return (
        *_of_values(port, inputs),
        *_of_samples(port, inputs),
        *_of_layers(network, observed),
        *_of_scale(network, port, inputs),
    )


def with_calibration_notes(network: Network, inputs: NDArray[Any], observed: Mapping[str, Observed]) -> Network:
    """``network`` with what :func:`calibration_notes` finds added to its notes."""
    return replace(network, notes=(*network.notes, *calibration_notes(network, inputs, observed)))


def _of_values(port: Input, inputs: NDArray[Any]) -> Iterator[Note]:
    low, high = float(inputs.min()), float(inputs.max())
    if low == high == 0:
        text = f"all {inputs.shape[0]} calibration samples are zero in every step: give data with something in them"
        yield Note("RV841", port.name, text)
    elif low == high:
        text = f"every value of the calibration data is {low:g}: ranges found on them say nothing about other data"
        yield Note("RV840", port.name, text)


def _of_samples(port: Input, inputs: NDArray[Any]) -> Iterator[Note]:
    """Of n samples and a new one, each is as likely as the others to hold the largest value: 1 / (n + 1)."""
    count = inputs.shape[0]
    if count > 1 and inputs.min() != inputs.max() and bool((inputs == inputs[:1]).all()):
        yield Note("RV842", port.name, f"all {count} calibration samples are the same: give different ones")
    elif count < FEW_SAMPLES:
        word = "sample" if count == 1 else "samples"
        text = f"{count} calibration {word}: a new one exceeds what was seen with a chance of 1 in {count + 1}"
        yield Note("RV843", port.name, f"{text}; give {FEW_SAMPLES} or more")


def _of_layers(network: Network, observed: Mapping[str, Observed]) -> Iterator[Note]:
    for population in network.populations:
        rate = observed[population.name].rate
        if rate == 0 and _spikes(network, population):
            text = "it never spikes on the calibration data, and so does nothing: check the scale of the data"
            yield Note("RV844", population.name, f"{text} and the layer's threshold")
        elif rate >= EVERY_STEP and _one_spike(population):
            text = f"it spikes in {100 * rate:.3g} % of all steps on the calibration data, and so tells little apart"
            yield Note("RV845", population.name, f"{text}: check the scale of the data and the layer's threshold")


def _spikes(network: Network, population: Neurons) -> bool:
    """Whether ``population`` is meant to send: it has a threshold, and is not there for its membrane alone."""
    threshold = getattr(population.model, "threshold", np.zeros(()))
    only_read = population.name == network.readout.node and not network.readout.reads_spikes
    return not only_read and not bool(np.isposinf(threshold).all())


def _one_spike(population: Neurons) -> bool:
    return not realised(population.model).program.graded


def _of_scale(network: Network, port: Input, inputs: NDArray[Any]) -> Iterator[Note]:
    if port.coding != "current":
        return
    low, high = float(inputs.min()), float(inputs.max())
    reach = f"the calibration data reach from {low:g} to {high:g}"
    if port.payload is not None:
        limit = (2.0 ** (port.payload.bits - 1) - 0.5) / port.payload.scale
        beyond = float(np.mean(np.abs(inputs) > limit))
        if beyond > 0:
            text = f"{reach}, the input takes -{limit:.4g} to {limit:.4g}: {100 * beyond:.3g} % of the values saturate"
            yield Note("RV846", port.name, f"{text}; scale the data as in training")
    if max(-low, high) > 1:
        for name, share in _saturated(network, port, inputs[:TRIED]):
            text = f"{reach}: of the neurons of {name} that spike, {100 * share:.3g} % do so in every step"
            yield Note("RV847", port.name, f"{text}; {_advice(inputs, high)}")


def _advice(inputs: NDArray[Any], high: float) -> str:
    whole = high <= BYTE and bool((inputs >= 0).all() and (inputs == np.rint(inputs)).all())
    if whole:
        return f"if the network was trained on images from 0 to 1, divide the data by {BYTE}"
    return "scale the data as in training"


def _saturated(network: Network, port: Input, inputs: NDArray[Any]) -> Iterator[tuple[str, float]]:
    """Layers behind the input in which most neurons that spike in a sample do so in every step, and their share."""
    if inputs.shape[1] < FEW_STEPS:
        return
    behind = {after.target for edge in network.out_of[port.name] for after in network.out_of[edge.target]}
    recording = simulator.run(network, inputs, ("spikes",))
    for population in network.populations:
        if population.name not in behind or not _one_spike(population):
            continue
        rates = np.mean(recording.spikes[population.name] != 0, axis=1)
        active = int(np.count_nonzero(rates))
        share = float(np.count_nonzero(rates >= EVERY_STEP) / max(active, 1))
        if share > MOST:
            yield population.name, share
