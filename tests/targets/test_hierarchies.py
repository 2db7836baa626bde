"""Targets with a hierarchy of memories: what they say, what they refuse, and what refuses them."""

from pathlib import Path

import pytest

import ranvier
from ranvier.compiler.diagnostics import RanvierError
from ranvier.targets.listing import differences, values
from ranvier.targets.load import load_any, load_hierarchy, load_target
from support.apps import small_data, small_network

BASE = 'extends = "stems_1mb"\n'


def mine(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(BASE + text)
    return path


def test_the_shipped_one() -> None:
    core = load_hierarchy("stems_1mb").core
    assert core.store.size_bits.v == 2**20 * 8
    assert core.dram.access_pj_per_bit.v.read * core.dram.word_bits.v == 700
    assert core.dram.access_pj_per_bit.v.write * core.dram.word_bits.v == 750
    assert core.array.wide_input is not None
    assert core.array.wide_input.v.factor == 16 / 7
    assert core.buffer("weight").name == "weights"
    assert core.buffer("state").name == core.buffer("input").name == "activations"
    known = {value.key: value for value in values(load_any("stems_1mb"))}
    assert known["core.store.size_bits"].text == "8388608"
    assert all(v.cite and v.basis and v.conf for k, v in known.items() if k.endswith(("_bits", "_pJ", "per_bit")))


def test_one_value_changed(tmp_path: Path) -> None:
    path = mine(tmp_path, "[core.store.size_bits]\nv = 4194304\n")
    assert load_hierarchy(path).core.store.size_bits.v == 2**22
    changed = [key for key, _, _ in differences(load_any("stems_1mb"), load_any(path))]
    assert changed == ["chip.name", "core.store.size_bits"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[core.store.size_bits]\nv = 0\n", "RV505"),
        ("[core.dram.size_bits]\nv = 1.5\n", "RV505"),
        ("[core.store]\nspeed = 3\n", "RV503"),
        ('[core.buffers.weights]\nholds = ["weight", "input"]\n', "RV506"),
    ],
)
def test_wrong_values_are_refused_with_their_line(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(RanvierError, match=f"{code} mine.toml|{code} stems_1mb.toml"):
        load_any(mine(tmp_path, text))


def test_it_is_explored_not_compiled_for() -> None:
    with pytest.raises(RanvierError, match=r"RV531 stems_1mb(.|\n)*ranvier explore"):
        ranvier.compile(small_network(), "stems_1mb", small_data()[0])
    (found,) = ranvier.check(small_network(), "stems_1mb")
    assert (found.code, found.severity) == ("RV531", "error")
    with pytest.raises(RanvierError, match="RV512"):
        load_target("stems_1mb")


def test_other_chips_have_no_such_memories() -> None:
    with pytest.raises(RanvierError, match=r"RV530 loihi2(.|\n)*stems_1mb"):
        load_hierarchy("loihi2")
