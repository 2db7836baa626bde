"""The page as it grows: tables whose cells are asked of the compiler, and the ways out of what it refused."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from textwrap import fill

from ranvier.compiler.diagnostics import Diagnostic
from ranvier.compiler.ir.network import Network
from ranvier.standing import Standing, cell, standing, table
from ranvier.targets.load import meshes

TARGETS = meshes()
EMPTY = [""] * len(TARGETS)
WIDTH = 118
NO_EXAMPLE = "no example here"
INTRODUCTION = """# What runs where

Written by `make docs`, compared by a test. Every row is asked of the code: a class goes through its frontend, what
comes out through the compiler for each target.

* **exact**: no number is rounded. **approximate**: what is named is rounded: decays to 12 bits, levels to the register
  or to 24 bits, weights to 8; every rounding stands in the report with its worst error. **refused**: with code and
  reason; the ways out are [at the end](#ways-out).
* **own neuron**: the chip's own. **step program**: a program on a programmable target, a generated process in Lava.
* Numbers are such as training leaves them, a decay of 0.9 among them; others may round more or less of what is named.
  Weights in front of neurons are exact here, so that a row shows what the neurons themselves lose.

An import itself is meant to be exact. The torch, ONNX and conversion frontends run what they read beside its source
before they hand it over, and refuse what differs; NIR and `.net` files hold nothing that could be run. Lists of all
that is known stand in the [README](../README.md#what-is-supported).
"""


@dataclass
class Page:
    """The page as it grows; ``refusals`` are the ways out of all that was refused on it, ``asked`` all answers."""

    parts: list[str] = field(default_factory=lambda: [INTRODUCTION])
    refusals: dict[str, dict[str, None]] = field(default_factory=dict)
    asked: list[tuple[Network, str, Standing]] = field(default_factory=list)

    def section(self, title: str, text: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A heading, what there is to say, and a table."""
        said = fill(text, WIDTH, break_long_words=False, break_on_hyphens=False) + "\n\n" if text else ""
        self.parts.append(f"{title}\n\n{said}{table(header, rows)}")

    def on_targets(self, network: Network, show: Callable[[Standing], str]) -> list[str]:
        """What each target makes of ``network``."""
        found = [standing(network, target) for target in TARGETS]
        self.asked += [(network, target, one) for target, one in zip(TARGETS, found, strict=True)]
        for one in found:
            if one.refused is not None:
                self.refused(one.refused)
        return [show(one) for one in found]

    def of_layers(self, network: Network) -> list[str]:
        """The kinds of synapses that a network gets on the target that takes most, and what each target loses."""
        cells = self.on_targets(network, layers_alone)
        return [", ".join(self.asked[-1][2].synapses), *cells]

    def refused(self, found: Diagnostic) -> str:
        """A refusal as the text of a cell."""
        self.refusals.setdefault(found.code, {})[found.fix.rstrip(".")] = None
        return f"refused, {found.code}: {found.message.rstrip('.')}"

    def text(self) -> str:
        """The whole page."""
        found = sorted(self.refusals.items())
        rows = [[code, "; ".join(f for f in fixes if not _begins(f, fixes))] for code, fixes in found]
        self.section("## Ways out", "", ["code", "what to do"], rows)
        return "\n".join(self.parts)


def neurons_alone(found: Standing) -> str:
    """The cell of neurons without the weights that stand around them."""
    return cell(replace(found, lost=tuple(what for what in found.lost if what != "weights")))


def layers_alone(found: Standing) -> str:
    """The cell of layers, without the neurons that stand behind them."""
    lost = tuple("bias" if what == "constant input" else what for what in found.lost if what != "threshold")
    return replace(found, lost=lost).verdict


def _begins(fix: str, fixes: Iterable[str]) -> bool:
    """Whether another of ``fixes`` says the same and more."""
    return any(other != fix and other.startswith(fix) for other in fixes)
