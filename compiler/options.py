"""What a user may choose about the way to integers: one frozen object that every pass reads its part of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

from ranvier.compiler.diagnostics import Diagnostic, Figure, RanvierError

RoundingMethod = Literal["nearest", "output"]
ROUNDINGS: tuple[RoundingMethod, ...] = get_args(RoundingMethod)
WEIGHT_BITS = range(1, 9)
INPUT_BITS = range(2, 25)
EXPONENT_GROUPS = range(1, 9)
LayerBits = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Options:
    """The point in the space of deployments; the defaults are what suits most networks.

    ``input_bits``: signed width of real-valued inputs on the wire. ``weight_bits``: width of the weights, 1 to 8, as
    the chip counts it (``num_weight_bits``); ``layer_bits`` overrides it by synapse name, as sorted (name, bits).
    ``per_channel``: a scale for every neuron or output channel, folded into its threshold, bias and reset, instead of
    one for the population. ``rounding``: every weight to the nearest level, or up or down so that the membrane's error
    on the calibration data is least (``output``; the same as ``nearest`` without calibration data).
    ``equalize``: senders' real numbers are rescaled for free so that their weights use the grid alike.
    ``correct_bias``: the mean shift that rounding gives the membrane is taken back in the bias.
    ``prune``: the pattern of zeros to which layers are pruned (``compiler/ir/sparsity.py``), such as ``magnitude:0.8``,
    ``2:4`` or ``64:2:5``; then biases take the mean shift back and, with calibration data, thresholds are retuned.
    ``exponent_groups``: how many weight exponents a dense or sparse layer may have, each for the source wires whose
    weights it suits best (``passes/exponent_groups.py``).
    """

    input_bits: int = 8
    weight_bits: int = 8
    layer_bits: LayerBits = ()
    per_channel: bool = False
    rounding: RoundingMethod = "nearest"
    equalize: bool = False
    correct_bias: bool = False
    prune: str = ""
    exponent_groups: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer_bits", tuple(sorted((str(n), int(b)) for n, b in self.layer_bits)))
        problems = _problems(self)
        if problems:
            raise RanvierError(problems)

    def bits_of(self, synapse: str) -> int:
        """Width of the weights of ``synapse``."""
        return dict(self.layer_bits).get(synapse, self.weight_bits)

    def provenance(self) -> Mapping[str, Figure]:
        """Every option as plain values, as an artifact keeps them; ``options_from`` reads them back."""
        plain: dict[str, Figure] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "layer_bits"}
        return plain | {"layer_bits": ",".join(f"{name}={bits}" for name, bits in self.layer_bits)}


def layer_bits(given: Mapping[str, int] | Sequence[tuple[str, int]]) -> LayerBits:
    """``given`` widths by synapse name, sorted."""
    return tuple(sorted(dict(given).items()))


def parse_layer_bits(text: str) -> LayerBits:
    """``conv1=6,fc=4`` as widths by synapse name; raises ``RanvierError`` RV630 if it is not of that form."""
    found: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, bits = part.rpartition("=")
        if not (equals and name and bits.isdigit()):
            problem = Diagnostic("RV630", "layer_bits", f"{part!r} is no width of a layer", "write conv1=6,fc=4")
            raise RanvierError([problem])
        found[name] = int(bits)
    return layer_bits(found)


def options_from(provenance: Mapping[str, object]) -> Options:
    """The options recorded in an artifact's ``provenance``; what it does not name has its default."""
    known = {f.name: provenance[f.name] for f in fields(Options) if f.name in provenance}
    if "layer_bits" in known:
        known["layer_bits"] = parse_layer_bits(str(known["layer_bits"]))
    return Options(**known)  # type: ignore[arg-type]


def _problems(options: Options) -> list[Diagnostic]:
    found = []
    widths = [("weight_bits", options.weight_bits, WEIGHT_BITS), ("input_bits", options.input_bits, INPUT_BITS)]
    widths += [(name, bits, WEIGHT_BITS) for name, bits in options.layer_bits]
    for name, bits, allowed in widths:
        if bits not in allowed:
            text = f"{bits} bits; between {allowed.start} and {allowed.stop - 1} are possible"
            found.append(Diagnostic("RV631", name, text, "choose a width in that range"))
    if options.exponent_groups not in EXPONENT_GROUPS:
        text = f"{options.exponent_groups} exponents; between 1 and {EXPONENT_GROUPS.stop - 1} are possible"
        found.append(Diagnostic("RV420", "exponent_groups", text, "choose a number in that range"))
    if options.rounding not in ROUNDINGS:
        text = f"there is no rounding {options.rounding!r}"
        found.append(Diagnostic("RV632", "rounding", text, f"choose one of {', '.join(ROUNDINGS)}"))
    return found


DEFAULTS = Options()
