"""Accelerators with an array of multipliers under a hierarchy of memories: registers, buffers, a shared store, DRAM.

Such a chip runs a network in any order, tile by tile; what a schedule costs is what it moves between these memories.
Energies are per bit and level: a transfer is paid at both of its ends, in whole words of each.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from ranvier.targets.quantity import Cost, Known, Name, Positive, Strict

OperandName = Literal["input", "weight", "output", "state"]


class PerBit(Strict):
    """Energy of one bit that is read, and of one that is written."""

    read: Cost
    write: Cost


class Memory(Strict):
    """A memory: its size, the bits of one word (what a port moves in a cycle), and energy in pJ per bit."""

    size_bits: Known[Positive]
    word_bits: Known[Positive]
    access_pj_per_bit: Known[PerBit]


class LocalBuffer(Memory):
    """A buffer beside the array, shared by the operands that it holds."""

    name: Name
    holds: tuple[OperandName, ...] = Field(min_length=1)


class RegisterBits(Strict):
    """The register of one processing element for each operand."""

    input: Positive
    weight: Positive
    output: Positive
    state: Positive


class Registers(Strict):
    """Registers inside the array; inputs are shared along its rows' outputs, outputs and states along its inputs."""

    size_bits: Known[RegisterBits]
    access_pj_per_bit: Known[PerBit]


class WideInput(Strict):
    """An operation on inputs of ``bits`` or more costs ``factor`` times as much as one on spikes."""

    bits: Positive
    factor: Cost


class Grid(Strict):
    """``outputs`` by ``inputs`` processing elements: output channels along one side, input channels along the other."""

    outputs: Positive
    inputs: Positive


class Array(Strict):
    """The array of multipliers: energy of one operation."""

    elements: Known[Grid]
    op_pj: Known[Cost]
    wide_input: Known[WideInput] | None = None


class VectorUnit(Strict):
    """The unit for sums and pools of spikes, ``lanes`` channels at a time."""

    lanes: Known[Positive]
    op_pj: Known[Cost]


class Precision(Strict):
    """Bits of the operands where a network does not say otherwise."""

    weight: Positive
    state: Positive
    partial: Positive
    input: Positive


class HierarchyCore(Strict):
    """One array and its memories, innermost first."""

    kind: Literal["hierarchy"]
    bits: Known[Precision]
    array: Array
    vector: VectorUnit
    registers: Registers
    buffers: tuple[LocalBuffer, ...] = Field(min_length=1)
    store: Memory
    dram: Memory

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        held = [operand for buffer in self.buffers for operand in buffer.holds]
        for operand in ("input", "weight", "output", "state"):
            if held.count(operand) != 1:
                raise ValueError(f"{operand} is held by {held.count(operand)} local buffers, not by one")
        return self

    def buffer(self, operand: OperandName) -> LocalBuffer:
        """The local buffer that holds ``operand``."""
        return next(buffer for buffer in self.buffers if operand in buffer.holds)
