"""A transformer with softmax, norms and a gate on the host, trained on digits: imported, cut, compiled, run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import ranvier
from ranvier.compiler.ir.hosted import ChipPart, HostedNetwork
from ranvier.hosted import HostedApp
from ranvier.hosted_report import HostedReport
from support.hosted_transformers import HostedTransformer, hosted_transformer
from support.transformers import shown

TRAINED, EPOCHS = 1200, 3
Values = NDArray[Any]


class Case:
    """A trained network, what it answers on images that it has not seen, its import, and the compiled parts."""

    def __init__(self) -> None:
        images, labels = load_digits(return_X_y=True)
        images = images.astype(np.float32) / 16.0
        self.module: HostedTransformer = hosted_transformer((images[:TRAINED], labels[:TRAINED]), EPOCHS)
        tested = shown(images[TRAINED:])
        with torch.no_grad():
            self.spikes: Values = self.module(tested).numpy().swapaxes(0, 1)
        self.inputs: Values = tested.numpy().swapaxes(0, 1)
        self.labels = labels[TRAINED:]
        network = ranvier.load(self.module, sample=tested[:, :1], host=True)
        assert isinstance(network, HostedNetwork)
        self.network: HostedNetwork = network
        self.app: HostedApp = ranvier.compile(network, "loihi2", shown(images[:128]).numpy().swapaxes(0, 1))


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def test_the_parts_in_float_are_the_module(case: Case) -> None:
    np.testing.assert_array_equal(case.app.run_float(case.inputs).outputs, case.spikes)


def test_the_network_is_cut_at_its_functions(case: Case) -> None:
    held = [
        [p.name for p in part.network.populations] if isinstance(part, ChipPart) else [f.kind for f in _functions(part)]
        for part in case.app.parts.parts
    ]
    attention = ["rms_norm", "matrix_product", "softmax", "matrix_product"]
    assert held == [["lif"], attention, ["block.lif1"], ["rms_norm", "silu", "product"], ["block.lif2", "out"]]


def _functions(part: Any) -> list[Any]:
    return [node for node in part.nodes if hasattr(node, "kind") and hasattr(node, "in_shapes")]


def test_deployed_within_a_point(case: Case, tmp_path: Path) -> None:
    case.app.save(tmp_path / "net")
    app = ranvier.open(tmp_path / "net", host=True)
    found = ranvier.verify(app, case.network, (case.inputs, case.labels))
    accuracy = float(np.mean(case.spikes.sum(1).argmax(1) == case.labels))
    assert accuracy > 0.85
    assert found.float_accuracy == pytest.approx(accuracy)
    assert found.accuracy is not None
    assert found.accuracy > accuracy - 0.01
    assert not found.overflows
    assert all(agreement.fraction > 0.97 for agreement in found.agreement.values())


@pytest.mark.usefixtures("lava")
def test_all_executors_give_the_same_bits(case: Case) -> None:
    data = case.inputs[:20], case.labels[:20]
    found = ranvier.verify(case.app, None, data, ("simulator", "oracle", "lava"), samples_lava=2)
    assert found.agrees
    assert {c.runtime: c.samples for c in found.comparisons} == {"oracle": 20, "lava": 2}
    assert all(c.fired for c in found.comparisons)


def test_the_report_says_what_the_host_does(case: Case) -> None:
    report: HostedReport = case.app.report(case.app.run(case.inputs[:100]))
    shares = {part.kind: 0.0 for part in report.parts}
    for part in report.parts:
        share = report.operation_share(part)
        assert share is not None
        shares[part.kind] += share
    assert shares["host"] > 0.5
    assert sum(shares.values()) == pytest.approx(1.0)
    assert report.neurons == 16 * 16 * 3 + 10


def test_without_host_the_functions_are_refused(case: Case) -> None:
    with pytest.raises(ranvier.RanvierError) as refused:
        ranvier.load(case.module, sample=torch.as_tensor(case.inputs[:1].swapaxes(0, 1)))
    assert "host=True" in str(refused.value)
