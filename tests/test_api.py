"""The public functions, from a network to a verified program."""

import ast
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import ranvier
from ranvier.app import App
from ranvier.compiler import artifact
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Input, Note
from ranvier.compiler.ir.text import equal
from ranvier.compiler.pipeline import prepare
from ranvier.runtimes import oracle, reference
from ranvier.targets.load import load_any
from support.apps import CLASSES, INPUTS, WEIGHT, small_data, small_network, write_nir

OPTIONS = {"dt": 1e-3, "reset": "subtract"}


@pytest.fixture(scope="module")
def app() -> App:
    return ranvier.compile(small_network(), target="loihi2", calibrate=small_data()[0])


def code(refused: pytest.ExceptionInfo[RanvierError]) -> str:
    return refused.value.diagnostics[0].code


def test_every_public_name_is_there() -> None:
    assert set(ranvier.__all__) <= set(dir(ranvier))
    for name in ranvier.__all__:
        assert getattr(ranvier, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        ranvier.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from ranvier import nothing  # noqa: F401, PLC0415


def test_the_six_lines(tmp_path: Path) -> None:
    x, y = small_data()
    net = ranvier.load(write_nir(tmp_path / "net.nir"), dt=1e-3, reset="subtract")
    app = ranvier.compile(net, target="loihi2", calibrate=x)
    rec = app.run(x)
    rep = ranvier.verify(app, net, data=(x, y), runtimes=("simulator", "oracle"))
    app.save(tmp_path / "net.rnv")
    assert rec.outputs.shape == (*x.shape[:2], CLASSES)
    assert rep.agrees
    assert rep.accuracy == np.mean(rec.predictions == y)
    assert rep.float_accuracy == np.mean(reference.run(net, x).predictions == y)
    assert rep.accuracy is not None
    assert rep.accuracy > 0.9


def test_runtimes_agree(app: App) -> None:
    x, _ = small_data()
    fast, literal = (app.run(x, ("spikes", "membrane", "states"), runtime=r) for r in ("simulator", "oracle"))
    assert np.array_equal(fast.membrane["out"], literal.membrane["out"])
    assert np.array_equal(fast.outputs, oracle.run(app.program.chip, x).outputs)
    with pytest.raises(RanvierError, match="no such runtime"):
        app.run(x, runtime="abacus")  # type: ignore[arg-type]


def test_a_saved_program_runs_the_same(app: App, tmp_path: Path) -> None:
    x, _ = small_data()
    app.save(tmp_path / "a.rnv")
    back = ranvier.open(tmp_path / "a.rnv")
    assert equal(back.program, app.program)
    assert np.array_equal(back.run(x).outputs, app.run(x).outputs)
    assert back.provenance == app.provenance
    assert back.provenance["calibration_shape"] == str(x.shape)
    assert back.target is not None
    assert back.target.name == "loihi2"
    back.save(tmp_path / "b.rnv")
    assert (tmp_path / "a.rnv").read_bytes() == (tmp_path / "b.rnv").read_bytes()


def test_calibration_changes_the_provenance_and_the_notes(app: App) -> None:
    without = ranvier.compile(small_network())
    assert "calibration_sha256" not in without.provenance
    assert "RV380" in {note.code for note in without.report().notes}
    assert "RV380" not in {note.code for note in app.report().notes}


def test_the_report_counts_what_is_there(app: App) -> None:
    x, _ = small_data()
    recording = app.run(x)
    report = app.report(recording)
    (layer,) = report.layers
    weight = app.program.chip.connections[0].synapse
    assert (layer.name, layer.neurons, layer.cores, report.cores) == ("out", CLASSES, 1, 1)
    assert layer.synapses == np.count_nonzero(weight.weight)  # type: ignore[union-attr]
    assert layer.rate == pytest.approx(recording.outputs.mean())
    assert report.memory_bytes is not None
    assert report.memory_bytes > 0
    assert report.energy is not None
    assert report.energy.dynamic_nj is not None
    assert app.report().energy is None
    assert report.to_json()["neurons"] == CLASSES
    assert {rounding.parameter for rounding in report.roundings} >= {"weight", "vth"}


def test_a_target_file_of_ones_own(tmp_path: Path) -> None:
    text = (files("ranvier.targets") / "loihi2.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.replace('name = "loihi2"', 'name = "mine"'), encoding="utf-8")
    (tmp_path / "more.toml").write_text('extends = "mine.toml"\ncore.pools.core_memory.cap_bytes.v = 262144\n')
    app = ranvier.compile(small_network(), target=tmp_path / "more.toml")
    app.save(tmp_path / "mine.rnv")
    app.export_nir(tmp_path / "mine.nir")
    inputs = small_data()[0]
    expected = app.measure(inputs)[1].to_json()
    for file in tmp_path.glob("*.toml"):
        file.unlink()
    for name in ("mine.rnv", "mine.nir"):
        back = ranvier.open(tmp_path / name)
        assert back.target == app.target
        assert back.target_sha256 == app.target_sha256 != ranvier.compile(small_network()).target_sha256
        assert back.measure(inputs)[1].to_json() == expected
    back.save(tmp_path / "again.rnv")
    assert (tmp_path / "again.rnv").read_bytes() == (tmp_path / "mine.rnv").read_bytes()


LOIHI2 = (files("ranvier.targets") / "loihi2.toml").read_text(encoding="utf-8")
MINE = ("mine.toml", 'extends = "loihi2"\n')


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ((MINE,), "the files do not extend each other"),
        ((("loihi2.toml", LOIHI2), MINE), "the files do not extend each other"),
        ((MINE, ("loihi2.toml", LOIHI2 + "\n")), "not the one that it was compiled for"),
        ((("other.toml", MINE[1]), ("loihi2.toml", LOIHI2)), "not the one that it was compiled for"),
        ((MINE, ("stems_1mb.toml", (files("ranvier.targets") / "stems_1mb.toml").read_text())), "is not the one that"),
        ((MINE, ("loihi2.toml", LOIHI2), ("loihi2.toml", LOIHI2)), "the files do not extend each other"),
        (
            (("mine.toml", 'extends = "/etc/hosts.toml"\nchip.name = 1'), ("loihi2.toml", LOIHI2)),
            "cannot be read: RV505",
        ),
        ((MINE, ("loihi2.toml", "a = [")), "cannot be read: RV502"),
        ((MINE, ("loihi2.toml", LOIHI2 + "#" * 70_000)), "cannot be read: RV501"),
        (((MINE[0], MINE[1] + "#" * 65_000), *[("a.toml", MINE[1] + "#" * 60_000)] * 2), "cannot be read: RV511"),
        (tuple([MINE] * 40), "the files do not extend each other"),
    ],
)
def test_files_of_a_target_that_are_not_what_was_compiled_for(
    tmp_path: Path, stored: tuple[tuple[str, str], ...], said: str
) -> None:
    (tmp_path / "mine.toml").write_text(MINE[1], encoding="utf-8")
    app = ranvier.compile(small_network(), target=tmp_path / "mine.toml")
    artifact.save(app.program, tmp_path / "a.rnv", target_sha256=app.target_sha256, target_files=stored)
    with pytest.raises(RanvierError, match=said) as refused:
        ranvier.open(tmp_path / "a.rnv")
    assert [d.code for d in refused.value.diagnostics] == ["RV790"]


def test_check_lists_notes_or_errors() -> None:
    notes = ranvier.check(small_network())
    assert {d.severity for d in notes} == {"note"}
    broken = replace(small_network(), edges=())
    assert any(d.severity == "error" for d in ranvier.check(replace(broken, readout=replace(broken.readout, node="x"))))
    assert [d.code for d in ranvier.check(small_network(), "no chip")] == ["RV501"]


def test_check_assumes_a_range_and_says_so() -> None:
    net = small_network()
    analog = replace(net, nodes=(Input("input", (INPUTS,), "current"), *net.nodes[1:]))
    assert "RV606" in {d.code for d in ranvier.check(analog)}
    assert "RV606" not in {d.code for d in ranvier.check(net)}
    with pytest.raises(RanvierError, match="calibration data"):
        ranvier.compile(analog)
    assert ranvier.check(analog, "loihi1")[0].severity == "error"


def test_verify_refuses_another_network(app: App) -> None:
    x, y = small_data()
    renamed = replace(small_network("other name"), notes=(Note("RV001", "a", "b"),))
    assert ranvier.verify(app, renamed, data=(x, y)).accuracy is not None
    assert ranvier.verify(app, None, data=(x, None)).accuracy is None
    other = small_network()
    doubled = Dense("fc", 2 * WEIGHT)
    changed = replace(other, nodes=(other.nodes[0], doubled, other.nodes[2]))
    assert not equal(prepare(changed), prepare(other))
    with pytest.raises(RanvierError) as refused:
        ranvier.verify(app, changed, data=(x, y))
    assert code(refused) == "RV605"


def test_verify_reports_its_progress(app: App) -> None:
    x, y = small_data()
    seen: list[tuple[str, int, int]] = []
    ranvier.verify(app, None, (x, y), ("simulator", "oracle"), progress=lambda *what: seen.append(what))
    assert seen[-1][1:] == (len(x), len(x))


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("net.rnv", "RV604"),
        ("net.onnx", "RV280"),
        ("net.py", "RV604"),
        ("net.pt", "RV604"),
        ("net.xyz", "RV604"),
        ("net", "RV604"),
        ("absent.nir", "RV100"),
        (3, "RV603"),
        (None, "RV603"),
    ],
)
def test_what_is_no_network_is_refused(source: object, wanted: str) -> None:
    with pytest.raises(RanvierError) as refused:
        ranvier.load(source)  # type: ignore[call-overload]
    assert code(refused) == wanted
    assert refused.value.diagnostics[0].fix


def test_options_that_mean_nothing_are_all_refused(tmp_path: Path) -> None:
    path = write_nir(tmp_path / "net.nir")
    with pytest.raises(RanvierError) as refused:
        ranvier.load(path, dt=1e-3, reset="subtract", sample=np.zeros(6), steps=3)
    assert [(d.code, d.place) for d in refused.value.diagnostics] == [
        ("RV602", "option sample"),
        ("RV602", "option steps"),
    ]


def test_missing_options_are_all_asked_for(tmp_path: Path) -> None:
    with pytest.raises(RanvierError) as refused:
        ranvier.load(write_nir(tmp_path / "net.nir"))
    assert {d.place for d in refused.value.diagnostics} == {"option dt", "option reset"}


def test_targets_can_be_loaded() -> None:
    assert {"loihi1", "loihi2"} <= set(ranvier.target_names())
    assert all(load_any(name).name == name for name in ranvier.target_names())


def test_data_of_another_shape_are_refused(app: App) -> None:
    with pytest.raises(RanvierError, match="RV821"):
        app.run(np.zeros((2, 5, INPUTS + 1)))
    with pytest.raises(RanvierError, match="RV821"):
        ranvier.compile(small_network(), calibrate=np.zeros((2, 5, INPUTS + 1)))


def test_names_in_files_never_become_code(tmp_path: Path) -> None:
    evil = 'x"""\nLEAKED = 1\n"""\\{{7*7}}'
    ranvier.compile(small_network(name=evil, out=evil)).save(tmp_path / "evil.rnv")
    app = ranvier.open(tmp_path / "evil.rnv")
    assert app.run(small_data()[0]).outputs.any()
    written = [*app.emit_lava(tmp_path / "lava").rglob("*.py")]
    assert written
    for path in written:
        names = {node.id for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Name)}
        assert "LEAKED" not in names


def test_loading_a_file_does_not_import_torch(tmp_path: Path) -> None:
    path = write_nir(tmp_path / "net.nir")
    program = (
        f"import sys, ranvier; n = ranvier.load({str(path)!r}, dt=1e-3, reset='value'); "
        "ranvier.compile(n).save('a.rnv'); ranvier.open('a.rnv'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, cwd=tmp_path)
