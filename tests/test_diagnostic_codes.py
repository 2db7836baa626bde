"""A diagnostic's code means one thing: no two parts of the project use the same one."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = (
    "compiler",
    "frontends/conversion",
    "frontends/nir",
    "frontends/onnx",
    "frontends/torch",
    "runtimes",
    "targets",
    "src/ranvier/cli",
)


def codes(part: str) -> set[str]:
    text = "".join(path.read_text() for path in sorted((ROOT / part).rglob("*.py")))
    return set(re.findall(r"\"(RV\d{3})\"", text))


def test_every_part_has_codes_of_its_own() -> None:
    found = {part: codes(part) for part in PARTS}
    assert all(found.values())
    shared = {(a, b): found[a] & found[b] for a in PARTS for b in PARTS if a < b and found[a] & found[b]}
    assert shared == {}
