"""Who may import whom, how fast the package imports, and how long a function and a file may grow."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = ("compiler", "frontends", "runtimes", "targets")

MAX_FUNCTION_LINES = 50
MAX_FILE_LINES = 400
MAX_IMPORT_SECONDS = 0.3
HEAVY = ("torch", "numba", "h5py", "scipy", "pydantic", "rich", "typer")

IR, DIAGNOSTICS = "ranvier.compiler.ir", "ranvier.compiler.diagnostics"

# Module prefix -> the prefixes of ranvier that it may import. The longest prefix that fits a module decides.
ALLOWED: dict[str, tuple[str, ...]] = {
    "ranvier": ("ranvier",),
    "ranvier.frontends": (IR, DIAGNOSTICS, "ranvier.frontends"),
    "ranvier.compiler": ("ranvier.compiler", "ranvier.targets"),
    "ranvier.compiler.diagnostics": (DIAGNOSTICS,),
    "ranvier.compiler.ir": (IR, DIAGNOSTICS),
    "ranvier.compiler.options": (DIAGNOSTICS, "ranvier.compiler.options"),
    "ranvier.compiler.passes": (
        IR,
        DIAGNOSTICS,
        "ranvier.compiler.options",
        "ranvier.compiler.passes",
        "ranvier.compiler.analysis",
        "ranvier.targets",
    ),
    "ranvier.compiler.analysis": (IR, DIAGNOSTICS, "ranvier.compiler.analysis", "ranvier.targets"),
    "ranvier.runtimes": (IR, DIAGNOSTICS, "ranvier.runtimes", "ranvier.targets"),
    "ranvier.runtimes.scheduled": (
        IR,
        DIAGNOSTICS,
        "ranvier.compiler.schedule",
        "ranvier.runtimes",
        "ranvier.targets",
    ),
    "ranvier.targets": (DIAGNOSTICS, "ranvier.targets"),
}

# Foreign library -> the only modules of ranvier that may import it.
FOREIGN: dict[str, tuple[str, ...]] = {
    "torch": (
        "ranvier.frontends.torch",
        "ranvier.frontends.conversion",
        "ranvier.runtimes.trainable",
        "ranvier.runtimes.gpu",
        "ranvier.search",
    ),
    "triton": ("ranvier.runtimes.gpu",),
    "snntorch": ("ranvier.frontends.torch",),
    "norse": ("ranvier.frontends.torch",),
    "sinabs": ("ranvier.frontends.torch",),
    "spikingjelly": ("ranvier.frontends.torch",),
    "onnx": ("ranvier.frontends.onnx",),
    "lava": (),
}


def within(module: str, prefix: str) -> bool:
    """Whether a module is the package ``prefix`` or lies inside it."""
    return module == prefix or module.startswith(prefix + ".")


def sources() -> dict[str, Path]:
    """Every Python file of the package by its module name."""
    found = {}
    for root, prefix in [(REPOSITORY / folder, f"ranvier.{folder}") for folder in FOLDERS] + [
        (REPOSITORY / "src" / "ranvier", "ranvier")
    ]:
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            if prefix == "ranvier" and parts[0] in FOLDERS:
                continue  # a link to a folder that is walked by itself
            found[".".join([prefix, *(part for part in parts if part != "__init__")])] = path
    return found


SOURCES = sources()


def imports(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """(line, module, dotted name) of every import, wherever it stands; a leading dot marks a relative one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield node.lineno, module, f"{module}.{alias.name}"


def complaint(importer: str, module: str, name: str) -> str | None:
    """Why ``importer`` may not import ``name`` from ``module``, or None where it may."""
    top = module.partition(".")[0]
    if module.startswith("."):
        return "relative import"
    if top in FOLDERS:
        return f"import ranvier.{module}, not {module}"
    if top in FOREIGN and not any(within(importer, home) for home in FOREIGN[top]):
        return f"{top} is imported only in {', '.join(FOREIGN[top]) or 'generated code'}"
    if top == "ranvier":
        rule = max((prefix for prefix in ALLOWED if within(importer, prefix)), key=len)
        if not any(within(name, prefix) or within(module, prefix) for prefix in ALLOWED[rule]):
            return f"{rule} may import only {', '.join(ALLOWED[rule])}"
    return None


def test_every_folder_is_seen() -> None:
    for folder in FOLDERS:
        assert f"ranvier.{folder}" in SOURCES
    assert "ranvier" in SOURCES


@pytest.mark.parametrize("importer", sorted(SOURCES))
def test_imports_go_one_way(importer: str) -> None:
    path = SOURCES[importer]
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}: {name}: {reason}"
        for line, module, name in imports(ast.parse(path.read_bytes()))
        if (reason := complaint(importer, module, name))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("importer", "statement", "legal"),
    [
        ("ranvier.compiler.ir.step", "import numpy", True),
        ("ranvier.compiler.ir.step", "from ranvier.compiler import diagnostics", True),
        ("ranvier.compiler.ir.step", "from ranvier.compiler.passes import quantize", False),
        ("ranvier.compiler.ir.step", "from ranvier import targets", False),
        ("ranvier.compiler.passes.fit", "from ranvier.targets.schema import Target", True),
        ("ranvier.compiler.passes.fit", "from ranvier.runtimes.oracle import run", False),
        ("ranvier.compiler.passes.fit", "import torch.nn as nn", False),
        ("ranvier.frontends.nir", "from ranvier.compiler.ir.network import Network", True),
        ("ranvier.frontends.nir", "from ranvier.compiler.pipeline import compile_network", False),
        ("ranvier.frontends.nir", "from torch import nn", False),
        ("ranvier.frontends.torch.capture", "from torch import nn", True),
        ("ranvier.runtimes.lava.driver", "import lava.magma", False),
        ("ranvier.runtimes.oracle", "from ranvier.frontends import nir", False),
        ("ranvier.runtimes.oracle", "from ranvier import compile", False),
        ("ranvier.runtimes.oracle", "from compiler.ir import network", False),
        ("ranvier.runtimes.oracle", "from . import stats", False),
        ("ranvier.cli.main", "from ranvier.runtimes.oracle import run", True),
    ],
)
def test_the_rules_tell_legal_from_illegal(importer: str, statement: str, legal: bool) -> None:
    found = [complaint(importer, module, name) for _, module, name in imports(ast.parse(statement))]
    assert (found == [None]) is legal


def test_import_is_fast_and_light() -> None:
    program = (
        "import json, sys, time; start = time.process_time(); import ranvier; "
        "seconds = time.process_time() - start; "
        f"print(json.dumps([seconds, [name for name in {HEAVY!r} if name in sys.modules]]))"
    )
    command = [sys.executable, "-c", program]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout) for _ in range(3)]
    assert runs[0][1] == [], "loaded by `import ranvier`"
    assert min(seconds for seconds, _ in runs) < MAX_IMPORT_SECONDS


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_functions_and_files_are_short(module: str) -> None:
    text = SOURCES[module].read_text(encoding="utf-8")
    too_long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert not too_long, f"functions of more than {MAX_FUNCTION_LINES} lines"
    assert text.count("\n") <= MAX_FILE_LINES
