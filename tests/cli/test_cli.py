"""The command line: what it answers, as text and as JSON, and what it exits with."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier import __version__
from ranvier.api import compile  # noqa: A004
from ranvier.app import App
from ranvier.cli import verbs
from ranvier.cli.main import VERBS
from ranvier.cli.output import Answer, Output, plain
from ranvier.compiler import artifact
from ranvier.compiler.ir.text import dump
from ranvier.runtimes import oracle
from ranvier.runtimes.verify.executors import executor
from support.apps import small_data, small_network
from support.commands import Run

READING = ("--dt", "1e-3", "--reset", "subtract")


EVERY_VERB = [
    ("check", "net.nir", *READING),
    ("compile", "net.nir", *READING, "--calibrate", "data.npz", "-o", "out.rnv"),
    ("simulate", "net.rnv", "data.npz"),
    ("verify", "net.rnv", "--data", "data.npz", "--runtime", "simulator", "--runtime", "oracle"),
    ("inspect", "net.rnv"),
    ("inspect", "net.rnv", "--text"),
    ("states", "net.rnv", "data.npz"),
    ("explore", "net.nir", *READING, "--steps", "4"),
    ("evaluate", "net.rnv", "data.npz", "--workers", "1"),
    ("tune", "net.nir", *READING, "--data", "data.npz", "--trials", "3", "-o", "tuned.rnv"),
    ("fine-tune", "net.rnv", "data.npz", "--epochs", "1"),
    ("report", "net.rnv", "--data", "data.npz", "-o", "report.html"),
    ("targets",),
    ("doctor",),
]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("arguments", EVERY_VERB, ids=" ".join)
def test_every_verb_answers_as_text_and_as_json(run: Run, arguments: tuple[str, ...]) -> None:
    text = run(*arguments)
    assert text.code == 0
    assert text.out.strip()
    assert "\x1b" not in text.out + text.err
    silent = run(*arguments, "--quiet")
    assert (silent.code, silent.out, silent.err) == (0, "", "")
    data = run(*arguments, "--json")
    assert (data.code, data.err) == (0, "")
    assert data.out.count("\n") == 1
    assert data.json["ok"] is True
    assert data.json["verb"] == arguments[0]
    assert run(*arguments, "-v").code == 0


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "net.nir"),
        ("check", "absent.nir"),
        ("check", "net.rnv"),
        ("compile", "net.nir", *READING, "--target", "no chip"),
        ("check", "net.nir", *READING, "--sample", "1,2"),
        ("check", "net.nir", *READING, "--sample", "0,2"),
        ("check", "net.nir", *READING, "--input-shape", "banana"),
        ("check", "net.nir", "--dt", "nan", "--reset", "subtract"),
        ("compile", "net.nir", *READING, "-o", "absent/out.rnv"),
        ("compile", "net.nir", *READING, "--calibrate", "static.npz"),
        ("compile", "net.nir", *READING, "--calibrate", "net.nir"),
        ("simulate", "net.nir", "data.npz"),
        ("simulate", "net.rnv", "net.rnv"),
        ("simulate", "net.rnv", "absent.npz"),
        ("simulate", "net.rnv", "static.npz"),
        ("simulate", "net.rnv", "data.npz", "-o", "absent/out.npz"),
        ("verify", "net.rnv", "--data", "absent.npz"),
        ("verify", "net.rnv", "--data", "data.npz", "--against", "net.nir"),
        ("inspect", "absent.rnv"),
        ("inspect", "."),
    ],
    ids=" ".join,
)
def test_a_refusal_exits_with_1_and_says_what_to_do(run: Run, arguments: tuple[str, ...]) -> None:
    text = run(*arguments)
    assert (text.code, text.out) == (1, "")
    assert "error RV" in text.err
    assert "fix: " in text.err
    assert "Traceback" not in text.err
    data = run(*arguments, "--json")
    assert (data.code, data.err) == (1, "")
    assert data.json["ok"] is False
    assert all(d["fix"] and d["message"] for d in data.json["diagnostics"])


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nothing",),
        ("check",),
        ("check", "net.nir", "--nothing"),
        ("check", "net.nir", "--dt", "fast"),
        ("simulate", "net.rnv", "data.npz", "--runtime", "abacus"),
        ("simulate", "net.rnv", "data.npz", "--steps", "0"),
        ("verify", "net.rnv"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2
    data = run(*arguments, "--json")
    assert data.code == 2
    assert data.codes == ["RV600"]


def test_help_and_version(run: Run) -> None:

    text = run("--help")
    assert text.code == 0
    assert all(verb in text.out for verb in VERBS)
    assert all(run(verb, "--help").code == 0 for verb in VERBS)
    assert run("--version").out == f"ranvier {__version__}\n"


def test_check_says_no_with_1(run: Run, files: Path) -> None:
    text = run("check", files / "net.nir", *READING, "--target", "no chip")
    assert text.code == 1
    assert "error RV501" in text.err
    assert "cannot be compiled" in text.out
    data = run("check", files / "net.nir", *READING, "--target", "no chip", "--json")
    assert (data.code, data.err, data.codes) == (1, "", ["RV501"])
    assert data.json["neurons"] == 3
    assert "RV501" in run("check", files / "net.nir", *READING, "--target", "no chip", "-q").err


def test_missing_options_are_named_together(run: Run, files: Path) -> None:
    found = run("check", files / "net.nir", "--json").json["diagnostics"]
    assert {d["place"] for d in found} == {"option dt", "option reset"}


def test_simulate_shows_where_its_time_goes(run: Run, files: Path) -> None:
    run("compile", files / "net.nir", *READING, "--calibrate", files / "data.npz")
    found = run("simulate", "net.rnv", files / "data.npz", "--profile", "--json").json["profile"]
    assert all(seconds >= 0 for seconds in found["seconds"].values())
    assert {"pack", "else"} < set(found["seconds"])
    assert all(set(way) == {"scattered", "multiplied", "even"} for way in found["ways"].values())
    assert "a sample and step" in run("simulate", "net.rnv", files / "data.npz", "--profile").out


def test_compile_and_simulate_do_what_the_functions_do(run: Run, files: Path) -> None:
    x, y = small_data()
    done = run("compile", files / "net.nir", *READING, "--calibrate", files / "data.npz", "--json")
    assert done.code == 0
    assert done.json["output"] == "net.rnv"
    assert done.json["report"]["neurons"] == 3
    ran = run("simulate", "net.rnv", files / "data.npz", "--output", "out.npz", "--json").json

    wanted = oracle.run(artifact.load("net.rnv").chip, x, ("spikes",))
    assert ran["predictions"] == wanted.predictions.tolist()
    assert ran["accuracy"] == np.mean(wanted.predictions == y)
    assert ran["energy"]["dynamic_nj"]["value"] > 0
    with np.load("out.npz") as saved:
        assert np.array_equal(saved["outputs"], wanted.outputs)
        assert np.array_equal(saved["spikes/lif"], wanted.spikes["lif"])


def test_compile_writes_a_lava_project(run: Run, files: Path) -> None:
    done = run("compile", files / "net.nir", *READING, "-o", "x.rnv", "--lava", "project", "--json")
    assert done.code == 0
    assert done.json["lava"] == "project"
    assert (files / "project" / "run.py").is_file()
    assert (files / "project" / "README.md").is_file()


def test_verify_says_yes_and_compares(run: Run, files: Path) -> None:
    found = run(
        "verify", files / "net.rnv", "--data", files / "data.npz", "-r", "simulator", "-r", "oracle", "--json"
    ).json
    assert found["agrees"] is True
    assert found["disagreements"] == 0
    assert found["spikes_compared"] == 12 * 10 * 3
    assert found["accuracy"] > 0.9


def test_verify_says_no_with_1(run: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = oracle.run

    def wrong(chip: Any, inputs: Any, record: Any = ()) -> Any:
        right = honest(chip, inputs, record)
        spikes = {name: 1 - array for name, array in right.spikes.items()}
        return replace(right, spikes=spikes)

    monkeypatch.setattr("ranvier.runtimes.oracle.run", wrong)
    assert executor("oracle") is wrong
    arguments = ("verify", files / "net.rnv", "-d", files / "data.npz", "-r", "simulator", "-r", "oracle")
    data = run(*arguments, "--json")
    assert data.code == 1, data.err
    assert data.json["ok"] is False
    assert data.json["first_difference"]["layer"] == "out"
    assert run(*arguments).code == 1


def test_static_data_are_repeated_and_samples_limited(run: Run, files: Path, app: App) -> None:
    program, static = files / "net.rnv", files / "static.npz"
    ran = run("simulate", program, static, "--steps", 7, "--samples", 5, "--json").json
    assert (ran["samples"], ran["steps"]) == (5, 7)
    wanted = oracle.run(app.program.chip, np.repeat(small_data()[0][:5, :1], 7, axis=1))
    assert ran["predictions"] == wanted.predictions.tolist()
    assert run("simulate", program, files / "data.npz", "--steps", 4, "--json").json["steps"] == 4
    assert run("simulate", program, static, "--json").codes == ["RV612"]


def test_inspect_prints_the_text_form(run: Run, files: Path, app: App) -> None:

    text = dump(app.program)[0]
    assert run("inspect", files / "net.rnv", "--text").out == text
    found = run("inspect", files / "net.rnv", "--text", "--json").json
    assert found["text"] == text
    assert found["connections"][0]["source"] == "input"
    assert found["pieces"][0]["population"] == "out"
    assert "loihi.cuba_lif" in "".join(found["steps"])


def test_names_in_files_cannot_control_the_terminal(run: Run, tmp_path: Path) -> None:
    evil = "\x1b[2J\x07[red]x[/red]"
    compile(small_network(name=evil, out=evil)).save(tmp_path / "evil.rnv")
    np.savez(tmp_path / "data.npz", inputs=small_data()[0])
    commands = (("inspect", "evil.rnv"), ("inspect", "evil.rnv", "--text"), ("verify", "evil.rnv", "-d", "data.npz"))
    for arguments in (*commands, ("simulate", "evil.rnv", "data.npz"), ("simulate", "evil.rnv", "evil.rnv")):
        done = run(*arguments)
        assert "\x1b" not in done.out + done.err
        assert "\x07" not in done.out + done.err
    assert "[red]x[/red]" in run("inspect", "evil.rnv").out


def test_our_fault_exits_with_70_and_asks_for_a_report(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("one of ours")

    monkeypatch.setattr("ranvier.api.target_names", broken)
    text = run("targets")
    assert text.code == 70
    assert "please report it" in text.err
    assert "Traceback" in text.err
    data = run("targets", "--json")
    assert data.code == 70
    assert data.codes == ["RV690"]


def test_ctrl_c_exits_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ranvier.api.target_names", stopped)
    assert run("targets").code == 130


def test_a_closed_pipe_is_no_fault(files: Path) -> None:
    command = f"{sys.executable} -c 'from ranvier.cli import main; main()' inspect {files / 'net.rnv'} --text"
    script = f"{command} | head -c 1 > /dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() in {"0", "141"}
    assert done.stderr == ""


def test_verbs_hand_their_options_on() -> None:
    def verb(output: Output, count: int = 3) -> Answer:
        return Answer({"count": count, "quiet": output.quiet})

    called = verbs.command("verb", verb)
    assert list(called.__signature__.parameters) == ["count", "as_json", "quiet", "verbose"]  # type: ignore[attr-defined]


def test_values_become_plain() -> None:
    values = {"a": np.float64(1.5), "b": np.arange(2), 3: (float("nan"), float("inf")), "p": Path("x"), "s": {1}}
    assert plain(values) == {"a": 1.5, "b": [0, 1], "3": [None, None], "p": "x", "s": [1]}
    assert plain(np.int64(3)) == 3


def test_the_command_is_installed() -> None:
    script = Path(sys.executable).parent / "ranvier"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("ranvier ")
    module = [sys.executable, "-m", "ranvier", "--version"]
    assert subprocess.run(module, capture_output=True, text=True, timeout=60, check=True).stdout == done.stdout


def test_a_program_file_from_anywhere_does_no_harm(run: Run, files: Path) -> None:
    raw = (files / "net.rnv").read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(20):
        changed = bytearray(raw)
        changed[rng.integers(len(raw))] ^= 1 << int(rng.integers(8))
        (files / "bad.rnv").write_bytes(changed)
        done = run("inspect", "bad.rnv", "--json")
        assert (done.code, done.err) == (1, "")
    os.truncate(files / "bad.rnv", 100)
    assert run("simulate", "bad.rnv", "data.npz").code == 1
