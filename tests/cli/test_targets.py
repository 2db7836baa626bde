"""``ranvier targets`` and ``ranvier check --fix``: what chips are made of, and what the compiler can do by itself."""

from pathlib import Path

import numpy as np
import pytest

from support.commands import Run

MODEL = """
import snntorch as snn
import torch
from torch import nn


def net():
    torch.manual_seed(0)
    neurons = [
        snn.Synaptic(alpha=0.75, beta=0.875, init_hidden=True, reset_mechanism="subtract", output=last)
        for last in (False, True)
    ]
    return nn.Sequential(nn.Linear(6, 16, bias=False), neurons[0], nn.Linear(16, 3, bias=False), neurons[1])
"""
WORDS = ("--sample", "one.npz", "--module-steps", "8", "--coding", "spikes", "--target", "xylo_a2")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a torch module, one input, and chips of one's own."""
    (tmp_path / "net.py").write_text(MODEL, encoding="utf-8")
    np.savez(tmp_path / "one.npz", inputs=(np.random.default_rng(0).random((1, 6)) < 0.5).astype(np.float32))
    (tmp_path / "big.toml").write_text('extends = "loihi2"\ncore.pools.core_memory.cap_bytes.v = 262144\n')
    (tmp_path / "bad.toml").write_text('extends = "loihi2"\ncore.pools.core_memory.cap_bytes.v = -1\n')
    return tmp_path


def test_all_chips_are_listed(run: Run) -> None:
    found = run("targets", "--json").json["targets"]
    assert {name: one["kind"] for name, one in found.items()} == {
        "generic": "neurosynaptic", "loihi1": "neurosynaptic", "loihi2": "neurosynaptic",
        "speck2f": "layer", "truenorth": "crossbar", "xylo_a2": "single", "stems_1mb": "hierarchy",
    }  # fmt: skip
    assert found["loihi2"]["max_chips"] == 1152


def test_show_says_who_says_so(run: Run) -> None:
    found = {v["key"]: v for v in run("targets", "show", "loihi2", "--json").json["values"]}
    cap = found["core.pools.core_memory.cap_bytes"]
    assert (cap["text"], cap["unit"], cap["basis"], cap["conf"]) == ("196608", "B", "architectural", "medium")
    assert "Intel" in cap["cite"]
    assert found["latency.max_affine.barrier_ns"]["text"] == "missing"
    text = run("targets", "show", "loihi2").out
    assert "core.pools.core_memory.cap_bytes = 196608 B" in text
    assert "architectural, medium: Intel, Loihi 2 technology brief, 2021; 192 KB, flexible" in text


@pytest.mark.usefixtures("model")
def test_show_says_which_file_a_value_is_from(run: Run) -> None:
    text = run("targets", "show", "big.toml").out
    assert "core.pools.core_memory.cap_bytes = 262144 B  [big.toml:2]" in text
    assert "chip.vendor = Intel  [loihi2.toml:" in text


@pytest.mark.usefixtures("model")
def test_diff_says_what_differs(run: Run) -> None:
    found = run("targets", "diff", "loihi2", "big.toml", "--json").json["differences"]
    assert [one["key"] for one in found] == ["chip.name", "core.pools.core_memory.cap_bytes"]
    assert [value["text"] for value in found[1]["values"]] == ["196608", "262144"]
    assert "2 differences" in run("targets", "diff", "loihi2", "big.toml").out
    assert "0 differences" in run("targets", "diff", "loihi2", "loihi2").out


@pytest.mark.usefixtures("model")
def test_words_and_files_that_are_wrong(run: Run) -> None:
    for words, code in (
        (("diff", "loihi2"), "RV640"), (("show",), "RV640"), (("sho", "loihi2"), "RV640"),
        (("show", "lohi2"), "RV501"), (("show", "bad.toml"), "RV505"), (("diff", "loihi2", "none.toml"), "RV501"),
    ):  # fmt: skip
        done = run("targets", *words)
        assert (done.code, code in done.err) == (1, True), words
    assert "bad.toml:2" in run("targets", "show", "bad.toml").err


@pytest.mark.usefixtures("model")
def test_would_it_fit_with_more_memory(run: Run) -> None:
    words = [*WORDS[:-1], "big.toml"]
    assert run("check", "net.py:net", *words).code == 0


@pytest.mark.usefixtures("model")
def test_check_tells_what_it_tried(run: Run) -> None:
    found = run("check", "net.py:net", *WORDS, "--json").json
    assert found["ok"] is False
    assert found["fixed"] is False
    assert {d["code"] for d in found["diagnostics"]} == {"RV642", "RV644"}
    assert all(one["applied"] == (one["errors_after"] < one["errors_before"]) for one in found["fixes"])
    assert found["fixes"][-1]["errors_after"] == 0
    assert "fix tried, --fix applies it" in run("check", "net.py:net", *WORDS).out


@pytest.mark.usefixtures("model")
def test_fix_applies_what_helps_and_writes_the_program(run: Run, tmp_path: Path) -> None:
    done = run("check", "net.py:net", *WORDS, "--fix", "-o", "fixed.rnv")
    assert done.code == 0, done.err
    assert "can be compiled for xylo_a2" in done.out
    assert run("inspect", "fixed.rnv", "--json").code == 0
    assert (tmp_path / "fixed.rnv").is_file()
    assert run("check", "net.py:net", *WORDS).code == 1, "the model itself stays as it is"
