"""Files that are there whole or not at all."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ranvier.compiler.diagnostics import error


def write_json(path: str | Path, content: Mapping[str, object]) -> None:
    """Write ``content`` as JSON, keys as given, the same bytes each time; raises ``RanvierError`` RV460."""
    file = Path(path)
    if file.suffix.lower() != ".json":
        raise error("RV460", str(file), "the file is JSON, and its name does not say so", "give a name with .json")
    text = json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n"
    try:
        handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".part")
    except OSError as failed:
        raise _unwritable(file, failed) from failed
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
    except OSError as failed:
        raise _unwritable(file, failed) from failed
    finally:
        Path(temporary).unlink(missing_ok=True)


def _unwritable(file: Path, failed: OSError) -> Exception:
    text = f"it cannot be written: {failed.strerror or failed}"
    return error("RV460", str(file), text, "choose a folder that can be written")
