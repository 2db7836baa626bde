"""A step program as an LLVM module that runs one population: loops over samples, neurons and steps around it.

The innermost loop runs over the steps of a block with the states of one vector of neurons in registers, so that
memory is touched for the input and for what is sent, and nothing else. ``advance`` does only that, and notes in which
samples an operation lost something; ``advance_fully`` also writes membranes, states and what was lost, where a
buffer is given. Both take one pointer, to the 64-bit fields named in ``FRAME``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from ranvier.compiler.ir.steps import INPUT, OPS, Op, StepProgram
from ranvier.runtimes.simulator.lanes import BIT, DOUBLE, Lanes, Values, emit, static
from ranvier.runtimes.simulator.ranges import Traits

FRAME = (
    "first",  # network steps first .. last - 1
    "last",
    "samples",
    "neurons",
    "steps",  # all steps of the run: a sample of sent, membrane and kept is (steps, neurons)
    "current",  # (samples, last - first, neurons) int32 or float64: the input
    "states",  # (samples, states, neurons) int64 or float64: updated in place
    "params",  # (parameters, neurons) int64 or float64
    "sent",  # (samples, steps, neurons) int8, or as the states where the program sends numbers: written
    "fired",  # (neurons) int64: raised by the number of nonzero values sent
    "dirty",  # (samples) int64: set to 1 where an operation lost something
    "membrane",  # (samples, steps, neurons) as the states, or 0: written
    "kept",  # (states, samples, steps, neurons) as the states, or 0: written
    "kept_stride",  # values from one state in kept to the next
    "lost",  # (samples, last - first, neurons) int64, or 0: bit k set where lossy operation k changed a value
)
TAIL = 16  # lanes of the masked vectors that take what does not fill a whole one

BYTE, INT, LONG = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def lossy(program: StepProgram) -> tuple[Op, ...]:
    """The operations whose overflows are counted, in the order of their places in ``events``."""
    return tuple(op for op in program.ops if OPS[op.kind].lossy)


def module(program: StepProgram, traits: Traits, registers: int) -> str:
    """The text of the LLVM module for populations of ``program`` on vectors of ``registers`` bits.

    Two registers are joined to one vector, so that one waits for its results while the other computes.
    """
    made = ir.Module()
    bits = 64 if program.domain == "float" else traits.bits
    for name, fully in (("advance", False), ("advance_fully", True)):
        function = ir.Function(made, ir.FunctionType(ir.VoidType(), [LONG.as_pointer()]), name)
        builder = ir.IRBuilder(function.append_basic_block())
        frame = {n: builder.load(builder.gep(function.args[0], [LONG(k)])) for k, n in enumerate(FRAME)}
        body = _Body(program, traits, builder, frame, fully)
        width = 2 * registers // bits
        whole = builder.sub(frame["neurons"], builder.srem(frame["neurons"], LONG(width)))
        with _loop(builder, LONG(0), frame["samples"]) as sample:
            with _loop(builder, LONG(0), whole, width) as low:
                body.group(sample, low, width, None)
            with _loop(builder, whole, frame["neurons"], TAIL) as low:
                body.group(sample, low, TAIL, _mask(builder, low, frame["neurons"]))
        builder.ret_void()
    return str(made)


def _mask(b: Any, low: Any, neurons: Any) -> Any:
    """Which lanes of the tail are neurons."""
    lanes = Lanes(b, LONG, TAIL)
    index = ir.Constant(lanes.vector, [ir.Constant(LONG, k) for k in range(TAIL)])
    return b.icmp_signed("<", b.add(index, _splat(lanes, low)), _splat(lanes, neurons))


def _splat(lanes: Lanes, value: Any) -> Any:
    """A vector of one value that is known at run time only."""
    b, undefined = lanes.builder, ir.Constant(lanes.vector, ir.Undefined)
    single = b.insert_element(undefined, value, INT(0))
    return b.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(INT, lanes.width), [INT(0)] * lanes.width))


@contextmanager
def _loop(b: Any, start: Any, stop: Any, by: int = 1) -> Iterator[Any]:
    """Instructions inside are repeated for a counter from ``start`` below ``stop``."""
    before = b.block
    head, inside, after = (b.append_basic_block() for _ in range(3))
    b.branch(head)
    b.position_at_end(head)
    counter = b.phi(LONG)
    counter.add_incoming(start, before)
    b.cbranch(b.icmp_signed("<", counter, stop), inside, after)
    b.position_at_end(inside)
    yield counter
    counter.add_incoming(b.add(counter, LONG(by)), b.block)
    b.branch(head)
    b.position_at_end(after)


@dataclass(frozen=True, eq=False)
class _Memory:
    """Vectors in memory: ``width`` lanes, all of them or those of ``mask``."""

    builder: Any
    width: int
    mask: Any

    def load(self, address: Any, element: Any) -> Any:
        """The vector of ``element`` at ``address``."""
        vector = ir.VectorType(element, self.width)
        pointer = self.builder.inttoptr(address, vector.as_pointer())
        if self.mask is None:
            return self._unaligned(self.builder.load(pointer), element)
        kind = [pointer.type, INT, self.mask.type, vector]
        function = self._function(f"llvm.masked.load.v{self.width}{_letter(element)}.p0", vector, kind)
        return self.builder.call(function, [pointer, INT(_bytes(element)), self.mask, ir.Constant(vector, None)])

    def store(self, value: Any, address: Any) -> None:
        """Write the vector ``value`` to ``address``."""
        element = value.type.element
        pointer = self.builder.inttoptr(address, value.type.as_pointer())
        if self.mask is None:
            self._unaligned(self.builder.store(value, pointer), element)
            return
        kind = [value.type, pointer.type, INT, self.mask.type]
        function = self._function(f"llvm.masked.store.v{self.width}{_letter(element)}.p0", ir.VoidType(), kind)
        self.builder.call(function, [value, pointer, INT(_bytes(element)), self.mask])

    def _function(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return self.builder.module.declare_intrinsic(name, (), ir.FunctionType(result, arguments))

    def _unaligned(self, instruction: Any, element: Any) -> Any:
        instruction.align = _bytes(element)
        return instruction


def _bytes(element: Any) -> int:
    return 8 if element is DOUBLE else int(element.width) // 8


def _letter(element: Any) -> str:
    return "f64" if element is DOUBLE else f"i{element.width}"


@dataclass(frozen=True, eq=False)
class _Body:
    """Prints what is done for one vector of neurons over the steps of a block."""

    program: StepProgram
    traits: Traits
    b: Any
    frame: Values
    fully: bool

    @property
    def outside(self) -> Any:
        """The type of numbers in memory."""
        return DOUBLE if self.program.domain == "float" else LONG

    def group(self, sample: Any, low: Any, width: int, mask: Any) -> None:
        """All steps of neurons ``low`` .. ``low + width - 1`` of one sample."""
        b = self.b
        number = DOUBLE if self.outside is DOUBLE else ir.IntType(self.traits.bits)
        lanes, memory = Lanes(b, number, width), _Memory(b, width, mask)
        values = {n: self._inward(memory.load(self._at("params", k, low), self.outside), lanes)
                  for k, n in enumerate(self.program.params)}  # fmt: skip
        for op in static(self.program):
            emit(lanes, op, values, self.traits)
        homes = [self._at("states", b.add(b.mul(sample, LONG(len(self.program.states))), LONG(k)), low)
                 for k in range(len(self.program.states))]  # fmt: skip
        starts = [self._inward(memory.load(home, self.outside), lanes) for home in homes]
        starts += [ir.Constant(ir.VectorType(INT, width), None), ir.Constant(ir.VectorType(BIT, width), None)]
        ends = self._carried(
            starts, lambda step, carried: self._step(sample, low, step, lanes, memory, values, carried)
        )
        for home, state in zip(homes, ends, strict=False):
            memory.store(self._outward(state, width), home)
        counts = self._at("fired", LONG(0), low)
        memory.store(b.add(memory.load(counts, LONG), b.zext(ends[-2], ir.VectorType(LONG, width))), counts)
        self._note(sample, ends[-1], mask, width)

    def _carried(self, starts: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """Loop over the steps with values handed from each to the next; what the last one gives."""
        b, before = self.b, self.b.block
        with _loop(b, self.frame["first"], self.frame["last"]) as step:
            head = step.parent
            inside = b.block
            with b.goto_block(head):
                b.position_before(head.instructions[1])
                carried = [b.phi(start.type) for start in starts]
            b.position_at_end(inside)
            ends = body(step, carried)
            for phi, start, end in zip(carried, starts, ends, strict=True):
                phi.add_incoming(start, before)
                phi.add_incoming(end, b.block)
        return carried

    def _step(
        self, sample: Any, low: Any, step: Any, lanes: Lanes, memory: _Memory, known: Values, carried: list[Any]
    ) -> list[Any]:
        """One step: the new states, how often something was sent, whether anything was lost."""
        b, frame, program = self.b, self.frame, self.program
        here = b.add(b.mul(sample, b.sub(frame["last"], frame["first"])), b.sub(step, frame["first"]))
        place = b.add(b.mul(sample, frame["steps"]), step)
        arriving = memory.load(self._at("current", here, low), DOUBLE if self.outside is DOUBLE else INT)
        states = {s.name: value for s, value in zip(program.states, carried, strict=False)}
        values = {**known, **states, INPUT: self._inward(arriving, lanes)}
        lost: list[Any] = []
        for op in program.ops:
            if op.result not in known:
                emit(lanes, op, values, self.traits)
            if OPS[op.kind].lossy:
                lost.append(b.icmp_signed("!=", values[op.result], values[str(op.args[0])]))
        spikes = values[program.spikes]
        memory.store(self._message(spikes, lanes), self._at("sent", place, low))
        if self.fully:
            self._record(place, here, low, [values[n] for _, n in program.updates], values, lost, memory)
        nonzero = spikes if spikes.type.element == BIT else self._nonzero(spikes, lanes)
        count, dirty = carried[-2:]
        for changed in lost:
            dirty = b.or_(dirty, changed)
        new = [values[name] for _, name in program.updates]
        return [*new, b.add(count, b.zext(nonzero, count.type)), dirty]

    def _record(
        self, place: Any, here: Any, low: Any, states: list[Any], values: Values, lost: list[Any], memory: _Memory
    ) -> None:
        """Write membrane, new states and a bit for each loss to the buffers that are there."""
        b, width = self.b, memory.width
        with self._given("membrane"):
            memory.store(self._outward(values[self.program.membrane], width), self._at("membrane", place, low))
        with self._given("kept"):
            for k, state in enumerate(states):
                cell = b.add(b.mul(place, self.frame["neurons"]), b.mul(self.frame["kept_stride"], LONG(k)))
                memory.store(self._outward(state, width), self._at("kept", LONG(0), b.add(cell, low)))
        with self._given("lost"):
            wide = ir.VectorType(LONG, width)
            bits = ir.Constant(wide, None)
            for k, changed in enumerate(lost):
                bits = b.or_(bits, b.shl(b.zext(changed, wide), Lanes(b, LONG, width).constant(k)))
            memory.store(bits, self._at("lost", here, low))

    def _given(self, name: str) -> Any:
        """Instructions inside run where the frame has a buffer of that name."""
        return self.b.if_then(self.b.icmp_unsigned("!=", self.frame[name], LONG(0)))

    def _note(self, sample: Any, dirty: Any, mask: Any, width: int) -> None:
        b = self.b
        seen = dirty if mask is None else b.and_(dirty, mask)
        with b.if_then(b.icmp_unsigned("!=", b.bitcast(seen, ir.IntType(width)), ir.IntType(width)(0))):
            home = b.add(self.frame["dirty"], b.mul(sample, LONG(8)))
            b.store(LONG(1), b.inttoptr(home, LONG.as_pointer()))

    def _at(self, name: str, row: Any, low: Any) -> Any:
        """The address of neuron ``low`` in row ``row`` of an array of rows of neurons."""
        b = self.b
        cell = b.add(b.mul(LONG(row) if isinstance(row, int) else row, self.frame["neurons"]), low)
        return b.add(self.frame[name], b.mul(cell, LONG(self._size(name))))

    def _size(self, name: str) -> int:
        """Bytes of one value of an array."""
        if name == "current":
            return 8 if self.outside is DOUBLE else 4
        return 1 if name == "sent" and not self.program.graded else 8

    def _inward(self, value: Any, lanes: Lanes) -> Any:
        """Numbers from memory as lanes."""
        if self.outside is DOUBLE or value.type.element.width == lanes.bits:
            return value
        change = self.b.sext if value.type.element.width < lanes.bits else self.b.trunc
        return change(value, lanes.vector)

    def _outward(self, value: Any, width: int) -> Any:
        """Lanes as numbers of the memory."""
        if self.outside is DOUBLE or value.type.element.width == 64:
            return value
        return self.b.sext(value, ir.VectorType(LONG, width))

    def _message(self, spikes: Any, lanes: Lanes) -> Any:
        """What is sent, as the memory holds it."""
        if spikes.type.element != BIT:
            return self._outward(spikes, lanes.width)
        if not self.program.graded:
            return self.b.zext(spikes, ir.VectorType(BYTE, lanes.width))
        vector = ir.VectorType(self.outside, lanes.width)
        return self.b.uitofp(spikes, vector) if self.outside is DOUBLE else self.b.zext(spikes, vector)

    def _nonzero(self, spikes: Any, lanes: Lanes) -> Any:
        if self.outside is DOUBLE:
            return self.b.fcmp_unordered("!=", spikes, lanes.constant(0))
        return self.b.icmp_signed("!=", spikes, lanes.constant(0))
