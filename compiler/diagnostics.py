"""Diagnostics: every problem a user can cause, with its place, its figures and a way out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning", "note"]
Figure = str | int | float | bool | None


@dataclass(frozen=True)
class Diagnostic:
    """One finding about a user's network, file, data or machine.

    ``code`` is stable and searchable (``RV`` and three digits), ``place`` names the layer, file or
    option, ``message`` says what is wrong with the figures in it, ``fix`` says what to do, and
    ``figures`` repeats the figures for programs.
    """

    code: str
    place: str
    message: str
    fix: str
    severity: Severity = "error"
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code} {self.place}: {self.message}\n     Fix: {self.fix}"

    def to_json(self) -> dict[str, object]:
        """The same content as plain values, for ``--json``."""
        return {
            "code": self.code,
            "severity": self.severity,
            "place": self.place,
            "message": self.message,
            "fix": self.fix,
            "figures": dict(self.figures),
        }


class RanvierError(Exception):
    """Raised with all diagnostics that were found, never with the first one only."""

    def __init__(self, diagnostics: Iterable[Diagnostic] | Diagnostic) -> None:
        found = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        assert found, "a RanvierError needs at least one diagnostic"
        self.diagnostics: tuple[Diagnostic, ...] = found
        super().__init__("\n".join(str(d) for d in found))


def error(code: str, place: str, message: str, fix: str, **figures: Figure) -> RanvierError:
    """A ``RanvierError`` with a single diagnostic; the keywords become its figures."""
    return RanvierError(Diagnostic(code, place, message, fix, "error", figures))
