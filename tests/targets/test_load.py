"""A wrong target file gives diagnostics with the line of what is wrong, all at once, and never a crash."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ranvier.targets.load
from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.targets.load import MAX_BYTES, load_target

FOLDER = Path(ranvier.targets.load.__file__).parent
LOIHI1 = (FOLDER / "loihi1.toml").read_text()
LOIHI2 = (FOLDER / "loihi2.toml").read_text()


def line_with(text: str, part: str) -> int:
    (number,) = [n for n, line in enumerate(text.splitlines(), 1) if part in line]
    return number


def refused(folder: Path, text: str | bytes) -> tuple[Diagnostic, ...]:
    path = folder / "chip.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RanvierError) as caught:
        load_target(path)
    return caught.value.diagnostics


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def test_a_file_of_ones_own_loads(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    own = '\n[sources]\nmine = { cite = "our lab", basis = "measured", conf = "high" }\n'
    text = changed(LOIHI1, 'cores = 128, processors = 3 }, src = "davies18"', 'cores = 100 }, src = "mine"')
    path.write_text(text + own)
    target = load_target(str(path))
    assert target.cores_per_chip == 100
    assert target.cite(target.chip.count) == "our lab"
    assert (target.chip.count.basis, target.file) == ("measured", "mine.toml")


MISTAKES = [
    ("mesh = { v = [8, 4]", "mash = { v = [8, 4]", "RV503", "unknown key chip.mash"),
    ('use = "n_out_slots"', 'yuse = "n_out_slots"', "RV503", "core.resources[3].yuse"),
    ('v = 1024, src = "davies18"', 'v = "many", src = "davies18"', "RV505", "core.resources[0].cap.v"),
    ('v = 1024, src = "davies18"', 'v = true, src = "davies18"', "RV505", "core.resources[0].cap.v"),
    ('v = 1024, src = "davies18"', 'v = -1, src = "davies18"', "RV505", "greater than 0"),
    ("v = 104.4,", "v = nan,", "RV505", "power.static_mW_per_chip"),
    ("v = 104.4,", 'v = "mising",', "RV505", "power.static_mW_per_chip.v"),
    ('v = 30, src = "davies21"', 'v = 30, src = "davis21"', "RV507", "unknown source 'davis21'"),
    ('v = 30, src = "davies21"', 'v = 30, src = "davies21", basis = "guess"', "RV505", "basis = 'guess'"),
    ('use = "n_in_lists"', 'use = "n_lists"', "RV505", "unknown name 'n_lists'"),
    ('use = "n_in_lists"', 'use = "().__class__"', "RV505", "not allowed"),
    ("rule:loihi.synapse_bits", "rule:loihi.synapses", "RV505", "unknown rule 'loihi.synapses'"),
    ('[energy]\ndefault = "sanafe"', '[energy]\ndefault = "other"', "RV506", "'other'"),
    ("v = [8, 4]", "v = [8, 5]", "RV506", "8 x 5 contradicts tiles.count = 32"),
    ("cores = 128,", "cores = 129,", "RV506", "contradict count.cores = 129"),
    ('{ name = "delay_slots"', '{ name = "neurons"', "RV506", "'neurons' is given twice"),
    ("steps_max = 62", "steps_max = 64", "RV506", "contradict 6 bits"),
    ("mixed = [-256, 254]", "mixed = [254, -256]", "RV506", "is empty"),
    ('v = 31, src = "nengo"', 'v = 32, src = "nengo"', "RV506", "not below cap"),
    ("programmable = false", "programmable = true", "RV506", "registers"),
    ('registers = "cuba_lif"', 'registers = "other"', "RV506", "names no table of neuron.models"),
    ('mesh = { v = "missing"', "mesh = { v = [2, 2]", "RV506", "tiles is not"),
    ('use_bytes = "n_state_bytes"', 'use_bytes = "n_neurons", use_bits = "n_neurons"', "RV506", "exactly one"),
    ("[1, 2, 3, 4, 5, 6, 8]", "[8, 1]", "RV506", "weight_bits must be ascending"),
    ("[0, 6, 7, 8, 9, 10, 11, 12],", "[6, 0],", "RV506", "index_bits must be ascending"),
    ('share_conv = "native"', 'share_conv = "population"', "RV506", "needs pop and out_slots"),
    ('default = "max_affine"', 'default = "other"', "RV506", "names no table of latency"),
]


@pytest.mark.parametrize(("old", "new", "code", "says"), MISTAKES)
def test_one_mistake_is_one_diagnostic_with_its_line(tmp_path: Path, old: str, new: str, code: str, says: str) -> None:
    original = LOIHI1 if old in LOIHI1 else LOIHI2
    text = changed(original, old, new)
    found = refused(tmp_path, text)
    # A misspelled key is unknown, and the one that was meant is missing.
    assert {d.code for d in found} - {code} <= ({"RV504"} if code == "RV503" else set())
    (first,) = [d for d in found if d.code == code]
    assert says in first.message
    assert first.fix
    place, line = first.place.split(":")
    assert place == "chip.toml"
    rows = list(zip(original.splitlines(), text.splitlines(), strict=True))
    changed_line = next(n for n, (before, after) in enumerate(rows, 1) if before != after)
    table = next(n for n in range(changed_line, 0, -1) if rows[n - 1][1].startswith("["))
    # A contradiction is placed at the table that holds both keys, anything else at its own line.
    assert int(line) in ((changed_line, table) if code == "RV506" else (changed_line,))


def test_all_mistakes_come_at_once_in_order(tmp_path: Path) -> None:
    text = changed(LOIHI1, 'vendor = "Intel"\n', "")
    text = changed(text, 'v = 104.4, src = "frady20", note', "v = 104.4, note")
    text = changed(text, "hop_pJ = { v = { ew = 3.0, ns = 4.2 }", "hop_pj = { v = { ew = 3.0, ns = 4.2 }")
    found = refused(tmp_path, text)
    assert [d.code for d in found] == ["RV504", "RV504", "RV503", "RV504"]
    assert "chip.vendor is missing" in found[0].message
    assert "power.static_mW_per_chip.src is missing" in found[3].message
    assert found[3].place == f"chip.toml:{line_with(text, 'static_mW_per_chip')}"
    assert found[2].place == f"chip.toml:{line_with(text, 'hop_pj')}"
    assert "'hop_pJ'" in found[2].fix


@pytest.mark.parametrize(("unit", "per"), [("pJ", "energy"), ("ns", "latency")])
def test_two_costs_of_a_neuron_contradict_each_other(tmp_path: Path, unit: str, per: str) -> None:
    extra = f'neuron_{unit} = {{ v = {{ active = 1.0, inactive = 1.0 }}, src = "sanafe" }}\n'
    text = changed(LOIHI1, f"[{per}.bases.sanafe]\n", f"[{per}.bases.sanafe]\n{extra}")
    (found,) = refused(tmp_path, text)
    assert (found.code, found.place) == ("RV506", f"chip.toml:{line_with(text, f'[{per}.bases.sanafe]')}")
    assert f"exactly one of soma_{unit} and neuron_{unit}" in found.message


def test_a_stand_in_must_exist(tmp_path: Path) -> None:
    (found,) = refused(tmp_path, changed(LOIHI2, 'basis = "sanafe"', 'basis = "other"'))
    assert found.code == "RV506"
    assert "'other'" in found.message
    assert found.place == f"chip.toml:{line_with(LOIHI2, 'stand_in')}"


def test_a_shared_source_is_not_redefined(tmp_path: Path) -> None:
    own = '[sources]\nnengo = { cite = "mine", basis = "measured", conf = "high" }\n'
    (found,) = refused(tmp_path, LOIHI1 + own)
    assert found.code == "RV506"
    assert found.place == f"chip.toml:{len(LOIHI1.splitlines()) + 2}"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("schema = 1\n[chip\n", "RV502", 2),
        ("schema = 1\nschema = 2\n", "RV502", 2),
        (b"\xff\xfe", "RV502", 1),
        ("a = " + "[" * 20_000, "RV502", None),
        ("a = " + "[" * 40 + "]" * 40, "RV502", 1),
        ("a" + ".a" * 20_000 + " = 1", "RV502", 1),
        ("x = " + "9" * 5000, "RV502", 1),
        ("#" * (MAX_BYTES + 1), "RV501", None),
        ("", "RV504", 1),
        ("chip = 3\ncore = []\nenergy = 1\nsources = 2\n", "RV504", 1),
    ],
)
def test_hostile_texts_are_refused_quickly(tmp_path: Path, text: str | bytes, code: str, line: int | None) -> None:
    start = time.perf_counter()
    found = refused(tmp_path, text)
    assert time.perf_counter() - start < 3
    assert code in {d.code for d in found}
    assert line is None or any(d.place == f"chip.toml:{line}" for d in found)


def test_unreadable_paths(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "absent.toml", "No such file"), (tmp_path, "no such target")):
        with pytest.raises(RanvierError, match=says):
            load_target(path)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(RanvierError, match="directory"):
        load_target(tmp_path / "folder.toml")
    with pytest.raises(RanvierError, match="did you mean 'loihi2'"):
        load_target("lohi2")


def test_a_fixed_chip_refuses_a_program_of_ours() -> None:
    with pytest.raises(RanvierError, match=r"RV508.*soft"):
        load_target("loihi1").neuron("ranvier.soft_lif.v1")


def problems_of(path: Path) -> tuple[Diagnostic, ...]:
    try:
        load_target(path)
    except RanvierError as problem:
        return problem.diagnostics
    return ()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_loads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    lines = LOIHI2.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        column = data.draw(st.integers(0, len(lines[at])))
        kind = data.draw(st.sampled_from(["drop", "cut", "insert", "swap"]))
        match kind:
            case "drop":
                lines[at] = ""
            case "cut":
                lines[at] = lines[at][:column]
            case "insert":
                lines[at] = lines[at][:column] + data.draw(st.text(max_size=3)) + lines[at][column:]
            case _:
                lines[at] = lines[at].replace(" v = ", " v = [1, 2], w = ")
    path = tmp_path_factory.mktemp("damaged") / "chip.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert all(re.fullmatch(r"chip\.toml(:\d+)?", d.place) for d in problems_of(path))
