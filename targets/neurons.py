"""The ``[neuron]`` part of a target file: which neurons a chip has and how wide their registers are."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ranvier.targets.quantity import Count, Known, Name, Positive, Quantity, Range, Strict


class Decay(Strict):
    """Decays are ``bits`` wide; the effective decay of u is the register plus ``u_offset``, alike for v."""

    bits: Positive
    u_offset: Count
    v_offset: Count


class StateBits(Strict):
    """Widths of the states, sign included; ``q`` is the accumulator of arriving weights before the shift."""

    u: Positive
    v: Positive
    q: Positive | None = None


class Overflow(Strict):
    """What each state does beyond its width."""

    u: Literal["wrap", "clip"]
    v: Literal["wrap", "clip"]
    q: Literal["wrap", "clip"] | None = None


class Threshold(Strict):
    """A threshold is a mantissa of ``mant_bits``, unsigned, shifted left by ``exp``."""

    mant_bits: Positive
    exp: Count


class Bias(Strict):
    """A bias is ``mant << exp``."""

    mant: Range
    exp: Range


class NeuronRegisters(Strict):
    """One neuron model: its bit-exact meaning by semantic id, and the ranges of its registers."""

    semantics: Name
    reset: Literal["zero"]
    compare: Literal["gt"]
    decay_round: Literal["toward_zero"]
    decay: Known[Decay]
    state_bits: Known[StateBits]
    overflow: Known[Overflow]
    vth: Known[Threshold]
    bias: Known[Bias]
    refractory_steps: Known[Range] | None = None
    noise_exp: Known[Range] | None = None
    state_bytes: Known[Range]
    soft_reset_compartments: Known[Positive] | None = None

    @property
    def decay_bits(self) -> int:
        """Width of the decay registers."""
        return self.decay.v.bits

    @property
    def vth_mant_max(self) -> int:
        """The largest threshold mantissa."""
        return (1 << self.vth.v.mant_bits) - 1

    @property
    def vth_exp(self) -> int:
        """Left shift of the threshold mantissa."""
        return self.vth.v.exp

    @property
    def bias_mant(self) -> Range:
        """Bias mantissas."""
        return self.bias.v.mant

    @property
    def bias_exp(self) -> Range:
        """Bias exponents."""
        return self.bias.v.exp

    @property
    def state_bytes_max(self) -> int:
        """Bytes of state per neuron to budget with."""
        return self.state_bytes.v.high


class NeuronSection(Strict):
    """All neuron models of the chip.

    ``registers`` names the model whose ranges hold for a step program of ours, if it runs them.
    """

    programmable: bool
    registers: Name | None = None
    state_bytes_range: Known[Range] | None = None
    state_var_bits: Known[Positive] | None = None
    microcode_max_instructions: Quantity[Positive] | None = None
    models: dict[Name, NeuronRegisters] = Field(min_length=1)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.programmable != (self.registers is not None):
            raise ValueError("registers must be given exactly when programmable = true")
        if self.registers is not None and self.registers not in self.models:
            raise ValueError(f"registers = {self.registers!r} names no table of neuron.models")
        return self

    def find(self, semantics: str) -> NeuronRegisters | None:
        """The model of a semantic id, with or without its version; a programmable chip has one for any.

        A model with a refractory register is also the one of ``<id>.refractory``.
        """
        for model in self.models.values():
            plain = model.semantics.rpartition(".v")[0]
            if semantics in (model.semantics, plain) or (semantics == f"{plain}.refractory" and model.refractory_steps):
                return model
        return self.models[self.registers] if self.registers is not None else None
