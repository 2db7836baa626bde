"""A verification as ``ranvier verify --json`` wrote it, read back and checked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ranvier.compiler.diagnostics import RanvierError, error

MAX_BYTES = 2**29
NEEDED: Mapping[str, type | tuple[type, ...]] = {
    "network": str,
    "target": str,
    "samples": int,
    "steps": int,
    "agreement": dict,
    "comparisons": list,
    "diagnostics": list,
    "overflows": list,
}


def read_verification(path: str | Path) -> dict[str, Any]:
    """The verification in the file at ``path``; raises ``RanvierError`` RV890 if it is none."""
    place, fix = str(path), "give what ranvier verify --json wrote"
    try:
        if Path(path).stat().st_size > MAX_BYTES:
            raise error("RV890", place, f"it is larger than {MAX_BYTES} bytes", fix)
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise error("RV890", place, f"cannot be read: {problem.strerror or problem}", fix) from problem
    except (ValueError, RecursionError) as problem:
        raise error("RV890", place, f"it is no JSON: {problem}", fix) from problem
    missing = [name for name, kind in NEEDED.items() if not isinstance(values, dict) or _lacks(values, name, kind)]
    if missing:
        raise error("RV890", place, f"it is no verification: {', '.join(missing)} missing or of another type", fix)
    return dict(values)


def _lacks(values: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> bool:
    return not isinstance(values.get(name), kind) or isinstance(values.get(name), bool)


def malformed(problem: Exception) -> RanvierError:
    """What to say where a part of a verification has not the form that the documentation gives."""
    text = f"a part of it has another form: {type(problem).__name__} {problem}"
    return error("RV890", "verification", text, "give what this version of ranvier verify --json wrote")
