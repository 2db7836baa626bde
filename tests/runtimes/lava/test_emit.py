"""The emitted project: self-contained, readable, the same each time, and runnable by hand."""

import ast
import dataclasses
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Port
from ranvier.compiler.ir.programs import Features
from ranvier.runtimes import oracle
from ranvier.runtimes.lava.emit import Project, emit
from support.lava_networks import connect, conv, dense, lif, network, spikes

LIMIT_S = 120.0


def _image_network() -> ChipNetwork:
    rng = np.random.default_rng(0)
    synapse = conv(rng, (1, 6, 6), 3)
    layers = [
        lif("conv.1", (3, 6, 6), 1, params={"bias": np.arange(108)}),
        lif("out", (4,), 2, Features("subtract", ">=")),
    ]
    wires = [connect("input", "conv.1", synapse), connect("conv.1", "out", dense(rng, 4, 108))]
    return network(
        Port("input", (1, 6, 6), bits=8, scale=10.0), layers, [*wires, connect("out", "out", dense(rng, 4, 4))]
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return emit(_image_network(), tmp_path / "project")


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_project_has_its_packages_and_scripts(project: Project) -> None:
    packages = {
        f"test_net_{part}/{name}.py"
        for part in ("net", "neurons", "host")
        for name in ("__init__", "process", "models")
    }
    scripts = {"run.py", "run_loihi2.py", "watch.py", "README.md", "test_net_net/weights.npz"}
    assert set(_files(project.folder)) == packages | scripts
    assert project.attributes == {"conv.1": "conv_1", "out": "out"}
    assert project.script == project.folder / "run.py"


def test_project_is_the_same_each_time(project: Project, tmp_path: Path) -> None:
    assert _files(emit(_image_network(), tmp_path / "again").folder) == _files(project.folder)


def test_project_needs_lava_and_numpy_only(project: Project) -> None:
    own = {"test_net_net", "test_net_neurons", "test_net_host", "watch"}
    standard = {"argparse", "contextlib", "json", "os", "pathlib", "sys", "threading", "time", "traceback", "typing"}
    for path in project.folder.rglob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 10))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, "Lava's search for models fails on relative imports"
                found = {str(node.module).partition(".")[0]}
            else:
                continue
            assert found <= own | standard | {"lava", "numpy", "scipy"}, path


def test_names_cannot_bring_code_into_the_project(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    evil = 'x"""\nimport os; os.abort()\n"""'
    layers = [lif(f"{evil} layer", (3,), 1, Features("none"))]
    wire = dataclasses.replace(connect("input", layers[0].name, dense(rng, 3, 5)), name=f"{evil} wire")
    chip = dataclasses.replace(network(Port("input", (5,)), layers, [wire]), name=evil)
    for path in emit(chip, tmp_path).folder.rglob("*"):
        assert path.is_dir() or b"os.abort" not in path.read_bytes()
    program = dataclasses.replace(layers[0].program, semantics=evil)
    hostile = dataclasses.replace(chip, populations=(dataclasses.replace(layers[0], program=program),))
    with pytest.raises(RanvierError):
        emit(hostile, tmp_path)


def test_stock_network_has_no_neuron_package(tmp_path: Path) -> None:
    chip = network(
        Port("input", (5,)), [lif("out", (3,), 1)], [connect("input", "out", dense(np.random.default_rng(0), 3, 5))]
    )
    files = _files(emit(chip, tmp_path).folder)
    assert not [name for name in files if "neurons" in name]
    assert b"self.out = LIFReset(" in files["test_net_net/models.py"]
    assert b"reset_offset=(1 + 1) % interval" in files["test_net_net/models.py"]


def test_lines_are_not_too_long_and_carry_no_stray_spaces(project: Project) -> None:
    for path in project.folder.rglob("*.py"):
        for line in path.read_text().splitlines():
            assert line == line.rstrip(), path
            assert len(line) <= 120, f"{path}: {line}"


def _run(lava: Path, script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script of the project as a user would."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [str(part) for part in (lava, script, *arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def test_run_script_takes_real_numbers_and_writes_predictions(lava: Path, project: Project, tmp_path: Path) -> None:
    frames = np.random.default_rng(1).normal(size=(2, 6, 1, 6, 6))
    inputs, results = tmp_path / "frames.npy", tmp_path / "results"
    np.save(inputs, frames)
    done = _run(lava, project.script, "--inputs", inputs, "--outputs", results, "--record", "spikes")
    assert done.returncode == 0, done.stderr
    wanted = oracle.run(_image_network(), frames, ("spikes",))
    np.testing.assert_array_equal(np.load(results / "predictions.npy"), wanted.predictions)
    np.testing.assert_array_equal(np.load(results / "outputs.npy"), wanted.outputs)
    np.testing.assert_array_equal(np.load(results / "conv_1.spikes.npy"), wanted.spikes["conv.1"])
    assert json.loads((results / "done.json").read_text())["record"] == ["spikes"]


def test_run_script_refuses_frames_of_another_shape(lava: Path, project: Project, tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", spikes(np.random.default_rng(0), 2, 3, (5,)))
    done = _run(lava, project.script, "--inputs", tmp_path / "frames.npy", "--outputs", tmp_path / "results")
    assert done.returncode == 1
    assert "the inputs have shape (2, 3, 5), the network takes (samples, steps, *(1, 6, 6))" in done.stderr


def test_chip_script_explains_that_the_extension_is_missing(lava: Path, project: Project, tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", np.zeros((1, 1, 1, 6, 6)))
    arguments = ("--inputs", tmp_path / "frames.npy", "--outputs", tmp_path, "--partition", "none")
    done = _run(lava, project.folder / "run_loihi2.py", *arguments)
    assert done.returncode == 1
    assert "lava-loihi) is not installed; run.py runs the network on a CPU" in done.stderr
