"""Step programs: what one neuron does in one time step, in single-assignment form.

A step program is a short list of operations over named scalars: the states of the neuron, its
parameters, the weighted input ``a`` of this step, and earlier results. Every executor is derived
from it: numpy interprets it, LLVM and Lava print it, the overflow analysis runs it on intervals.

Integer programs compute in exact integers; where a chip's register wraps or clips, the program says
so with an operation. Float programs use the same operations on float64.
"""

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Domain = Literal["int", "float"]
Operand = str | int | float
INPUT = "a"


@dataclass(frozen=True)
class OpSpec:
    """One row of the operation table.

    ``operands`` counts the leading value operands, ``constants`` the trailing literal ones;
    ``meaning`` is the formula that every executor implements (``x, y, z`` operands, ``n, m``
    constants); ``lossy`` marks operations that lose information when a register is too small, whose
    activity every executor counts as overflow events.
    """

    operands: int
    constants: int
    result: Literal["number", "bool"]
    meaning: str
    domains: tuple[Domain, ...] = ("int", "float")
    lossy: bool = False


OPS: Mapping[str, OpSpec] = {
    "add": OpSpec(2, 0, "number", "x + y"),
    "sub": OpSpec(2, 0, "number", "x - y"),
    "mul": OpSpec(2, 0, "number", "x * y"),
    "minimum": OpSpec(2, 0, "number", "min(x, y)"),
    "maximum": OpSpec(2, 0, "number", "max(x, y)"),
    "divide_floor": OpSpec(2, 0, "number", "floor(x / y), y > 0"),
    "mul_shift": OpSpec(2, 1, "number", "sign(x*y) * (abs(x*y) >> n): toward zero", ("int",)),
    "shift_left": OpSpec(1, 1, "number", "x * 2**n", ("int",)),
    "shift_right": OpSpec(1, 1, "number", "floor(x / 2**n)", ("int",)),
    "wrap": OpSpec(1, 1, "number", "two's complement of n bits", ("int",), lossy=True),
    "wrap_once": OpSpec(
        1, 1, "number", "x - 2**n if x > 2**(n-1), x + 2**n if x <= -2**(n-1), else x", ("int",), lossy=True
    ),
    "clip": OpSpec(1, 2, "number", "min(max(x, n), m)", ("int",), lossy=True),
    "gt": OpSpec(2, 0, "bool", "x > y"),
    "ge": OpSpec(2, 0, "bool", "x >= y"),
    "and": OpSpec(2, 0, "bool", "x and y (bools)"),
    "not": OpSpec(1, 0, "bool", "not x (bool)"),
    "where": OpSpec(3, 0, "number", "y if x else z"),
}


@dataclass(frozen=True)
class Op:
    """``result = kind(*args)``; ``args`` are names or literal numbers, constants last."""

    result: str
    kind: str
    args: tuple[Operand, ...]


@dataclass(frozen=True)
class State:
    """A value that lives from step to step; ``bits`` (sign included) is 0 in float programs."""

    name: str
    bits: int


@dataclass(frozen=True)
class StepProgram:
    """One neuron's step: ``ops`` in order, then ``updates`` written back to the states at once.

    ``semantics`` names the arithmetic for targets and emitters (``loihi.cuba_lif``). ``spikes`` is the
    value sent to the synapses: a bool, or a number when the neuron can send graded or several spikes
    (``graded``). ``membrane`` is the membrane before reset, which is what a comparison reads.
    """

    semantics: str
    domain: Domain
    states: tuple[State, ...]
    params: tuple[str, ...]
    ops: tuple[Op, ...]
    updates: tuple[tuple[str, str], ...]
    spikes: str
    membrane: str
    graded: bool = False

    def __str__(self) -> str:
        lines = [f"{s.name}' = {v}" for (s, (_, v)) in zip(self.states, self.updates, strict=True)]
        body = [f"{op.result} = {op.kind}({', '.join(map(str, op.args))})" for op in self.ops]
        head = f"step {self.semantics}({', '.join(s.name for s in self.states)}; {', '.join(self.params)}; {INPUT})"
        return "\n".join([head, *(f"  {line}" for line in body + lines), f"  send {self.spikes}"])


NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
SEMANTICS = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
LITERAL_LIMIT = 2**62
CONSTANT_RANGES: Mapping[str, tuple[int, int]] = {
    "mul_shift": (0, 62),
    "shift_left": (0, 62),
    "shift_right": (0, 62),
    "wrap": (2, 62),
    "wrap_once": (2, 62),
    "clip": (-LITERAL_LIMIT, LITERAL_LIMIT),
}
BOOL_OPERANDS: Mapping[str, tuple[int, ...]] = {"and": (0, 1), "not": (0,), "where": (0,)}


def problems(program: StepProgram) -> list[str]:
    """What is illegal in ``program``: names, operations, arity, kinds, constants, assignments, updates.

    Executors print the program as source text, so a name must be an identifier and nothing else.
    """
    kinds: dict[str, str] = dict.fromkeys(program.params, "number")
    kinds |= {state.name: "number" for state in program.states} | {INPUT: "number"}
    found = [f"{name!r} is no name" for name in (*kinds, *(op.result for op in program.ops)) if not _is_name(name)]
    if SEMANTICS.fullmatch(program.semantics) is None:
        found.append(f"{program.semantics!r} is no semantic id")
    if len(kinds) != len(program.params) + len(program.states) + 1:
        found.append("states, parameters and the input need distinct names")
    for op in program.ops:
        found += [f"{op.result}: {text}" for text in _op_problems(op, kinds, program.domain)]
        if op.result in kinds:
            found.append(f"{op.result} is assigned twice")
        kinds[op.result] = OPS[op.kind].result if op.kind in OPS else "number"
    if tuple(name for name, _ in program.updates) != tuple(s.name for s in program.states):
        found.append("every state needs one update, in the order of the states")
    updates = [value for _, value in program.updates]
    found += [f"{name} is not defined" for name in (*updates, program.spikes, program.membrane) if name not in kinds]
    found += [f"{name} is a bool" for name in (*updates, program.membrane) if kinds.get(name) == "bool"]
    if not program.graded and kinds.get(program.spikes) == "number":
        found.append("a program that sends numbers must be marked graded")
    return found


def _is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None and not keyword.iskeyword(name)


def _op_problems(op: Op, kinds: Mapping[str, str], domain: Domain) -> list[str]:
    spec = OPS.get(op.kind)
    if spec is None:
        return [f"unknown operation {op.kind}"]
    if domain not in spec.domains:
        return [f"{op.kind} does not exist in {domain} programs"]
    if len(op.args) != spec.operands + spec.constants:
        return [f"{op.kind} takes {spec.operands + spec.constants} arguments, not {len(op.args)}"]
    operands, constants = op.args[: spec.operands], op.args[spec.operands :]
    found = [f"{arg} is not defined" for arg in operands if isinstance(arg, str) and arg not in kinds]
    found += _kind_problems(op.kind, operands, kinds)
    if any(type(arg) is not int for arg in constants):
        return [*found, f"{op.kind} needs literal integers as its last {spec.constants} arguments"]
    low, high = CONSTANT_RANGES.get(op.kind, (0, 0))
    ordered = [arg for arg in constants if isinstance(arg, int)]
    if any(not low <= arg <= high for arg in ordered) or ordered != sorted(ordered):
        found.append(f"{op.kind} cannot have the constants {ordered}")
    if spec.lossy and not isinstance(op.args[0], str):
        found.append(f"{op.kind} of a literal")
    literals = [arg for arg in operands if not isinstance(arg, str)]
    if domain == "int" and any(type(arg) is not int or abs(arg) >= LITERAL_LIMIT for arg in literals):
        found.append("an integer program needs integer literals below 2**62")
    return found


def _kind_problems(kind: str, operands: tuple[Operand, ...], kinds: Mapping[str, str]) -> list[str]:
    found = []
    for index, arg in enumerate(operands):
        wanted = "bool" if index in BOOL_OPERANDS.get(kind, ()) else "number"
        given = kinds.get(arg, wanted) if isinstance(arg, str) else "number"
        if given != wanted:
            found.append(f"operand {arg} of {kind} must be a {wanted}")
    return found
