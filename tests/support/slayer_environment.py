"""lava-dl's SLAYER, the package itself, in a folder of its own: its wheel asks for other versions of Python and torch.

The parts used here are plain Python and run with any. The object detection beside them needs torchvision and OpenCV,
and is left out.
"""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import types
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ranvier.runtimes.cache import cache_folder

VERSION = "0.6.0"
SECONDS = 240
DETECTION = "lava.lib.dl.slayer.object_detection"


@cache
def slayer() -> Any:
    """The package ``lava.lib.dl.slayer``, installed at first use; skips the test where that cannot be done."""
    sys.path.append(str(_installed()))
    sys.modules.setdefault(DETECTION, types.ModuleType(DETECTION))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("lava.lib.dl.slayer")


def _installed() -> Path:
    home = cache_folder() / "peers" / f"lava-dl-{VERSION}"
    if home.is_dir():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    fresh = tempfile.mkdtemp(dir=home.parent)
    options = [
        "--no-deps",
        "--no-compile",
        "--ignore-requires-python",
        "--disable-pip-version-check",
        "--target",
        fresh,
    ]
    command = [sys.executable, "-m", "pip", "install", "-qq", *options, f"lava-dl=={VERSION}"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
        os.rename(fresh, home)  # noqa: PTH104 fails where another process was faster
    except (OSError, subprocess.SubprocessError) as problem:
        shutil.rmtree(fresh, ignore_errors=True)
        if not home.is_dir():
            pytest.skip(f"no lava-dl {VERSION}: {getattr(problem, 'stderr', problem)}"[:300])
    return home
