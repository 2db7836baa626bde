"""The ``[synapse]`` part of a target file: how weights, delays and convolutions are stored."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ranvier.targets.quantity import Count, Known, Positive, Range, Strict


class BlockBits(Strict):
    """A block of synapses is ``header`` bits and its synapses, rounded up to words of ``word`` bits."""

    word: Positive
    header: Count


class WeightRanges(Strict):
    """Stored weights at full precision by sign mode; the mixed grid is the even integers."""

    mixed: Range
    exc: Range
    inh: Range


class EffectiveWeight(Strict):
    """A weight enters the current as ``w << shift_bits``, clipped to +-limit."""

    shift_bits: Count
    limit: Positive


class Delay(Strict):
    """Extra synaptic delay: ``bits_max`` wide field, ``steps_max`` the longest."""

    bits_max: Count
    steps_max: Count
    steps_min: Count = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.steps_max >= 2**self.bits_max or self.steps_min > self.steps_max:
            raise ValueError(f"steps {self.steps_min}..{self.steps_max} contradict {self.bits_max} bits")
        return self


class OutSlots(Strict):
    """Output axon slots by axon type."""

    discrete: Positive
    pop16: Positive
    pop32: Positive


class PopulationAxons(Strict):
    """Axons that share synapses between positions: axon ids against atom (channel) ids."""

    pop16_axon_bits: Positive
    pop16_free_atom_bits: Count
    pop16_atom_bits_max: Positive
    pop16_base_multiple: Positive
    pop32_axon_bits: Positive
    base_max: Positive


class Synapse(Strict):
    """How synapses are stored; ``run_bits``: the field of a run-length list that counts zeros."""

    formats: tuple[Literal["dense", "sparse", "runlength"], ...] = Field(min_length=1)
    share_conv: Literal["none", "population", "native"]
    block_bits: Known[BlockBits]
    block_max_synapses: Known[Positive]
    weight_bits: Known[tuple[Positive, ...]]
    index_bits: Known[tuple[Count, ...]]
    run_bits: Known[Positive] | None = None
    weight_range: Known[WeightRanges]
    weight_exp: Known[Range]
    weight_eff: Known[EffectiveWeight] | None = None
    delay: Known[Delay]
    out_slots: Known[OutSlots] | None = None
    pop: Known[PopulationAxons] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.share_conv == "population" and (self.pop is None or self.out_slots is None):
            raise ValueError('share_conv = "population" needs pop and out_slots')
        if list(self.weight_bits.v) != sorted(set(self.weight_bits.v)) or not self.weight_bits.v:
            raise ValueError("weight_bits must be ascending")
        if list(self.index_bits.v) != sorted(set(self.index_bits.v)) or not self.index_bits.v:
            raise ValueError("index_bits must be ascending")
        if "runlength" in self.formats and self.run_bits is None:
            raise ValueError('formats with "runlength" need run_bits')
        return self

    @property
    def longest_run(self) -> int:
        """The most zeros between two synapses that a run-length list counts."""
        return 0 if self.run_bits is None else int(2**self.run_bits.v - 1)

    def weights(self, sign_mode: Literal["mixed", "exc", "inh"]) -> Range:
        """The range of stored weights in a sign mode."""
        ranges: dict[str, Range] = {
            "mixed": self.weight_range.v.mixed,
            "exc": self.weight_range.v.exc,
            "inh": self.weight_range.v.inh,
        }
        return ranges[sign_mode]

    @property
    def max_delay(self) -> int:
        """The longest extra delay of a synapse, in steps."""
        return self.delay.v.steps_max

    @property
    def max_weight_bits(self) -> int:
        """The widest weight, sign included where the sign is mixed."""
        return self.weight_bits.v[-1]
