"""A published ReLU network with max pools, converted and compiled for Loihi 2."""

import numpy as np
import pytest

import ranvier
from support.converted import STEPS, germanov


def test_germanov_loses_at_most_a_point_in_32_steps_on_the_chip() -> None:
    case = germanov()
    source = case.source_accuracy()
    assert source == pytest.approx(0.986, abs=1e-9)
    net = ranvier.convert(case.path, calibrate=case.calibration, steps=STEPS)
    app = case.compiled(net)
    for runs in (net, app):
        by_steps = ranvier.accuracy_by_steps(runs, case.inputs, case.labels, (4, 16, STEPS))
        assert by_steps[STEPS] >= source - 0.01
        assert by_steps[4] >= source - 0.05
        assert ranvier.fewest_steps(by_steps, source - 0.01) <= STEPS


def test_germanov_is_the_same_in_lava_spike_for_spike() -> None:
    case = germanov(100)
    net = ranvier.convert(case.path, calibrate=case.calibration, steps=STEPS)
    app = case.compiled(net)
    shown = ranvier.encode.direct(case.inputs, STEPS)
    found = ranvier.verify(app, net, (shown, case.labels), ("simulator", "lava"), samples_lava=2)
    assert found.agrees
    assert not found.overflows
    assert found.accuracy is not None
    assert found.accuracy >= 0.97
    (lava,) = found.comparisons
    assert lava.samples == 2
    assert lava.spikes > 0


def test_germanov_uncalibrated_is_refused() -> None:
    with pytest.raises(ranvier.RanvierError, match="RV664"):
        ranvier.convert(germanov(1).path, calibrate=None)


def test_germanov_with_averages_for_maxima_is_another_network_and_says_so() -> None:
    case = germanov(500)
    net = ranvier.convert(case.path, calibrate=case.calibration, max_pool="average")
    (note,) = [note for note in net.notes if note.code == "RV673"]
    assert "of the calibration data" in note.text
    exact = ranvier.convert(case.path, calibrate=case.calibration)
    neurons = [sum(int(np.prod(p.shape)) for p in n.populations) for n in (net, exact)]
    assert neurons[0] == neurons[1]
