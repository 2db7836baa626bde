"""Networks of other neurons through the public functions: compiled, saved, opened, verified on every executor."""

from pathlib import Path

import numpy as np
import pytest

import ranvier
from support.kinds import MODELS, data, network


@pytest.mark.parametrize("kind", ["lprnn", "tc_lif", "sigma_delta"])
def test_compiled_saved_opened_and_verified(kind: str, tmp_path: Path) -> None:
    net, inputs = network(kind), data(kind)
    ranvier.compile(net, target="loihi2", calibrate=inputs).save(tmp_path / "net.rnv")
    app = ranvier.open(tmp_path / "net.rnv")
    report = ranvier.verify(app, net, (inputs, None), runtimes=("simulator", "oracle"))
    assert all(c.agrees for c in report.comparisons)
    assert report.agreement["hidden"].fraction > 0.9
    assert report.same_predictions is not None
    assert report.same_predictions > 0.6
    np.testing.assert_array_equal(app.run(inputs).outputs, app.run(inputs, runtime="oracle").outputs)


@pytest.mark.parametrize("kind", MODELS)
def test_check_finds_nothing_in_the_way_on_loihi2(kind: str) -> None:
    assert not [d for d in ranvier.check(network(kind), "loihi2") if d.severity == "error"]
