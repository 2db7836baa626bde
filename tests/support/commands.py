"""What a command of ``ranvier`` came to."""

import json
from collections.abc import Callable
from typing import Any

import pytest


class Ran:
    """Exit code and streams of one command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        found: dict[str, Any] = json.loads(self.out, parse_constant=pytest.fail)
        return found

    @property
    def codes(self) -> list[str]:
        """The codes of the diagnostics."""
        return [diagnostic["code"] for diagnostic in self.json["diagnostics"]]


Run = Callable[..., Ran]
