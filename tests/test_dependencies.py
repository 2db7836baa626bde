"""Every package that Ranvier imports is declared: in the dependencies, or in the extra of the part that needs it."""

import ast
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
OWN = tuple(f"src/ranvier/{name}" for name in ("cli", "evaluation", "report", "search", "tuning"))
PARTS = ("compiler", "frontends", "runtimes", "targets", *OWN)
OF_AN_EXTRA = {
    "torch": ("frontends/torch", "frontends/conversion", "runtimes/trainable", "runtimes/gpu", "src/ranvier/search"),
    "triton": ("runtimes/gpu",),
    "snntorch": ("examples",),
    "onnx": ("frontends/onnx", "frontends/conversion"),
    "dask": ("src/ranvier/evaluation",),
    "ray": ("src/ranvier/evaluation",),
    "pymetis": ("compiler/passes/mapping",),
    "mtkahypar": ("compiler/passes/mapping",),
    "plotly": ("src/ranvier/report",),
    "matplotlib": ("src/ranvier/tuning", "src/ranvier/report", "src/ranvier/perturbed.py", "src/ranvier/exploration"),
    "optuna": ("src/ranvier/search", "src/ranvier/tuning"),
    "sqlalchemy": ("src/ranvier/tuning",),
}
PROVIDED = {"pydantic_core": "pydantic", "llvmlite": "numba"}  # each version of Numba brings the llvmlite it fits

WITHOUT_TORCH = """
import sys, pytest
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Absent())
sys.exit(pytest.main(sys.argv[1:]))
"""


def imported() -> dict[str, set[str]]:
    """Top-level names of third-party packages by the file that imports them."""
    found: dict[str, set[str]] = {}
    files = [*(ROOT / "src/ranvier").glob("*.py"), *(p for part in PARTS for p in (ROOT / part).rglob("*.py"))]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in {n.partition(".")[0] for n in names} - sys.stdlib_module_names - {"ranvier", "__future__"}:
                found.setdefault(PROVIDED.get(name, name), set()).add(str(path.relative_to(ROOT)))
    return found


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.split(r"[\[<>=!~; ]", entry)[0].lower() for entry in project["dependencies"]}


def test_every_import_is_declared() -> None:
    missing = {}
    for name, files in imported().items():
        home = OF_AN_EXTRA.get(name)
        outside = files if home is None else {f for f in files if not f.startswith(home)}
        if name not in declared() and outside:
            missing[name] = sorted(outside)
    assert missing == {}


def test_every_dependency_is_imported() -> None:
    assert declared() - set(imported()) == set()


def test_what_runs_under_other_pythons_is_found_without_torch() -> None:
    chosen = runpy.run_path(str(ROOT / "scripts" / "other_pythons.py"))["TESTS"]
    options = ["--collect-only", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", *chosen]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *options], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
