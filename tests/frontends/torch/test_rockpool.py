"""Rockpool's LIFTorch and LinearTorch: the imported network fires exactly as the live module does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ranvier.compiler.diagnostics import RanvierError
from ranvier.frontends.torch import rockpool
from ranvier.frontends.torch.leaves import NEURONS
from ranvier.runtimes.reference import run
from support.imports import deployed, differences
from support.rockpool_environment import ask

SEEDS = range(3)


def single(**options: Any) -> list[dict[str, Any]]:
    scales = (0.3, 1.0, 3.0)
    return [{"kind": "single", "seed": seed, "scale": scales[seed % 3], **options} for seed in SEEDS]


def test_neurons_and_networks(tmp_path: Path) -> None:
    """One child for all cases: leak modes, recurrence, limits on spikes, a whole network, refusals."""
    modes = [case for mode in ("taus", "decays", "bitshifts") for case in single(leak_mode=mode)]
    cases = [*modes, *single(recurrent=True), *single(most=3), *single(most=1)]
    networks = [{"kind": "network", "seed": seed} for seed in (0, 1)]
    refused = [*single(noise=0.1)[:1], *single(synapses=2)[:1]]
    answers = ask([*cases, *networks, *refused], tmp_path)
    for case, answer in zip(cases, answers, strict=False):
        assert answer.network is not None, (case, answer.codes)
        frames, shown = (torch.tensor(values.swapaxes(0, 1)) for values in (answer.x, answer.spikes))
        wrong, rounded = differences(answer.network, frames, shown)
        assert wrong == 0, case
        assert rounded <= 1, case
        assert shown.sum() > 10, case
    for answer in answers[len(cases) : len(cases) + len(networks)]:
        net = answer.network
        assert net is not None, answer.codes
        assert net.readout.kind == "spike_count"
        recording = run(net, answer.x.astype(np.float64), record=("spikes",))
        assert np.array_equal(recording.spikes[net.readout.node], answer.spikes)
        assert 0.01 < answer.spikes.mean() < 0.99
        deployed(net, answer.x.astype(np.float64))
    assert [answer.codes for answer in answers[-2:]] == [("RV240",), ("RV240",)]


def test_other_classes_are_refused_by_name() -> None:
    problem = rockpool.refusal("rockpool.nn.modules.torch.rate_torch.RateTorch", "hidden")
    assert isinstance(problem, RanvierError)
    assert [d.code for d in problem.diagnostics] == ["RV241"]
    assert "RateTorch" in problem.diagnostics[0].message


@pytest.mark.parametrize("path", rockpool.TABLE)
def test_the_table_is_in_use(path: str) -> None:
    assert NEURONS[path] is rockpool.TABLE[path]
