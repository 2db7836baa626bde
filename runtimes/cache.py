"""Where Ranvier keeps what it can make anew: compiled kernels, the Lava environment."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """``RANVIER_CACHE``, else ``ranvier`` in ``XDG_CACHE_HOME`` (by default ``~/.cache``)."""
    named = os.environ.get("RANVIER_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ranvier"
