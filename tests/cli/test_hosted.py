"""``--host`` on the command line: check, compile into a folder, simulate and verify that folder."""

from pathlib import Path

import numpy as np
import pytest

from support.commands import Run

MODULE = """
import torch
from torch import nn
from spikingjelly.activation_based import functional, neuron


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.up, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.lif1, self.lif2 = (neuron.LIFNode(v_threshold=0.3, step_mode="m") for _ in range(2))

    def forward(self, x):
        functional.reset_net(self)
        h = self.up(self.lif1(self.embed(x)))
        return self.lif2(self.head(nn.functional.silu(h) * torch.softmax(h, -1)))


net = Gated().eval()
"""
READING = ("net.py:net", "--sample", "5,1,6", "--host")
pytestmark = pytest.mark.usefixtures("gated")


@pytest.fixture
def gated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(MODULE)
    rng = np.random.default_rng(0)
    np.savez("data.npz", inputs=rng.random((20, 5, 6)).astype(np.float32), labels=rng.integers(0, 3, 20))


def test_from_a_module_to_a_folder_that_runs(run: Run) -> None:
    checked = run("check", *READING)
    assert checked.code == 0, checked.err
    assert "can be compiled for loihi2" in checked.out
    compiled = run("compile", *READING, "--calibrate", "data.npz", "-o", "net", "--lava", "lava")
    assert compiled.code == 0, compiled.err
    assert "softmax" in compiled.out
    assert "silu" in compiled.out
    assert sorted(p.name for p in Path("net").iterdir()) == ["hosted.rnv", "part1.rnv", "part3.rnv"]
    assert Path("lava/PARTS.md").exists()
    simulated = run("simulate", "net", "data.npz", "-o", "spikes.npz", "--json").json
    shares = [part["operation_share"] for part in simulated["report"]["parts"]]
    assert sum(shares) == pytest.approx(1.0)
    assert [part["kind"] for part in simulated["report"]["parts"]] == ["chip", "host", "chip"]
    assert "accuracy" in run("simulate", "net", "data.npz").out
    with np.load("spikes.npz") as written:
        assert written["outputs"].shape == (20, 5, 3)
        np.testing.assert_array_equal(written["predictions"], simulated["predictions"])
    verified = run("verify", "net", "--data", "data.npz", *("-r", "simulator", "-r", "oracle"), "--json")
    assert verified.code == 0, verified.err
    assert verified.json["disagreements"] == 0
    assert verified.json["accuracy"] == simulated["accuracy"]


def test_what_does_not_go_with_host_is_refused(run: Run) -> None:
    assert run("check", *READING[:-1], "--json").code == 1
    assert run("check", *READING, "--fix", "--json").codes == ["RV747"]
    assert run("compile", *READING, "-o", "net", "--json").codes == ["RV742"]
    assert run("compile", *READING, "--calibrate", "data.npz", "-o", "net").code == 0
    assert run("simulate", "net", "data.npz", "--profile", "--json").codes == ["RV747"]
    assert run("verify", "net", "--data", "data.npz", "--explain", "--json").codes == ["RV747"]
    assert run("inspect", "net", "--json").codes == ["RV745"]
    assert run("simulate", ".", "data.npz", "--json").codes == ["RV401"]
