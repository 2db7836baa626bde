"""A step program as an LLVM module that runs one population: loops over samples, neurons and steps around it.

The innermost loop runs over the steps of a block with the states of one vector of neurons in registers, so that
memory is touched for the input and for what is sent, and nothing else. ``advance`` does only that, and notes in which
samples an operation lost something; ``advance_fully`` also writes membranes, states and what was lost, where a
buffer is given. Both take the pointer to the 64-bit fields named in ``FRAME`` (and three more, as every call of the
time loop does), and return whether anything was lost.

``advance`` passes over steps in which nothing can happen: where a step without input has left every state of a vector
of neurons as it was and sent nothing, the steps up to the next input would do the same again.
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
    "block",  # the most steps of a block
    "stride",  # values from one step to the next in current
    "words",  # 64-bit words from one step to the next in sent, where it holds bits
    "current",  # (samples, block, stride) int32 or float64: the input
    "touched",  # (samples, neurons / GROUP) uint64: bit k set where neurons of the group have input in step first + k
    "states",  # (samples, states, neurons) int64 or float64: updated in place
    "params",  # (parameters, neurons) int64 or float64
    "sent",  # (samples, steps, words) bits, or (samples, steps, neurons) as the states where numbers are sent: written
    "fired",  # (neurons) int64: raised by the number of nonzero values sent
    "dirty",  # (samples) int64: set to 1 where an operation lost something
    "membrane",  # (samples, steps, neurons) as the states, or 0: written
    "kept",  # (states, samples, steps, neurons) as the states, or 0: written
    "kept_stride",  # values from one state in kept to the next
    "lost",  # (samples, block, neurons) int64, or 0: bit k set where lossy operation k changed a value
)
GROUP = 16  # neurons whose input is looked at together
LEAST = 8  # lanes of a vector, whose spikes then fill whole bytes

INT, LONG = ir.IntType(32), ir.IntType(64)


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
        function = ir.Function(made, ir.FunctionType(LONG, [LONG.as_pointer()] * 4), name)
        builder = ir.IRBuilder(function.append_basic_block())
        frame = {n: builder.load(builder.gep(function.args[0], [LONG(k)])) for k, n in enumerate(FRAME)}
        lossy_run = builder.alloca(LONG)
        builder.store(LONG(0), lossy_run)
        body = _Body(program, traits, builder, frame, fully, lossy_run)
        width = max(LEAST, 2 * registers // bits)
        tail = min(GROUP, width)
        whole = builder.sub(frame["neurons"], builder.srem(frame["neurons"], LONG(width)))
        with _loop(builder, LONG(0), frame["samples"]) as sample:
            with _loop(builder, LONG(0), whole, width) as low:
                body.group(sample, low, width, None)
            with _loop(builder, whole, frame["neurons"], tail) as low:
                body.group(sample, low, tail, _mask(builder, low, frame["neurons"], tail))
        builder.ret(builder.load(lossy_run))
    return str(made)


def _mask(b: Any, low: Any, neurons: Any, width: int) -> Any:
    """Which lanes of the tail are neurons."""
    lanes = Lanes(b, LONG, width)
    index = ir.Constant(lanes.vector, [ir.Constant(LONG, k) for k in range(width)])
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
    lossy_run: Any

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
            starts,
            lambda step, carried: self._step(sample, low, step, lanes, memory, values, carried),
            None if self.fully else self._touched(sample, low, width),
        )
        for home, state in zip(homes, ends, strict=False):
            memory.store(self._outward(state, width), home)
        counts = self._at("fired", LONG(0), low)
        memory.store(b.add(memory.load(counts, LONG), b.zext(ends[-2], ir.VectorType(LONG, width))), counts)
        self._note(sample, ends[-1], mask, width)

    def _touched(self, sample: Any, low: Any, width: int) -> Any:
        """A bit for each step in which one of the neurons has input."""
        b = self.b
        groups = b.sdiv(b.add(self.frame["neurons"], LONG(GROUP - 1)), LONG(GROUP))
        place = b.add(b.mul(sample, groups), b.sdiv(low, LONG(GROUP)))
        found = LONG(0)
        for k in range(max(1, width // GROUP)):
            address = b.add(self.frame["touched"], b.mul(b.add(place, LONG(k)), LONG(8)))
            found = b.or_(found, b.load(b.inttoptr(address, LONG.as_pointer())))
        return found

    def _carried(
        self, starts: list[Any], body: Callable[[Any, list[Any]], tuple[list[Any], Any]], touched: Any
    ) -> list[Any]:
        """Loop over the steps with values handed from each to the next; what the last one gives.

        ``body`` also says whether its step, had it no input, would be the same again. ``touched`` (None: no step is
        passed over) tells in which steps there is input.
        """
        b, before = self.b, self.b.block
        head, inside, after = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        step, carried = b.phi(LONG), [b.phi(start.type) for start in starts]
        b.cbranch(b.icmp_signed("<", step, self.frame["last"]), inside, after)
        b.position_at_end(inside)
        ends, settled = body(step, carried)
        following = [(b.add(step, LONG(1)), b.block)]
        if touched is None:
            b.branch(head)
        else:
            coming = b.lshr(touched, b.sub(step, self.frame["first"]))
            quiet = b.append_basic_block()
            b.cbranch(b.trunc(coming, BIT), head, quiet)
            b.position_at_end(quiet)
            idle = b.cttz(coming, BIT(0))
            following.append((b.select(settled(), b.add(step, idle), following[0][0]), b.block))
            b.branch(head)
        for phi, start, end in zip([step, *carried], [self.frame["first"], *starts], [None, *ends], strict=True):
            phi.add_incoming(start, before)
            for place, block in following:
                phi.add_incoming(place if end is None else end, block)
        b.position_at_end(after)
        return carried

    def _settled(self, old: list[Any], new: list[Any], nonzero: Any, mask: Any) -> Any:
        """Whether no state differs from the old one and nothing is sent, bit for bit, in every lane of ``mask``."""
        b, moving = self.b, nonzero
        for pair in zip(old, new, strict=True):
            x, y = (b.bitcast(v, ir.VectorType(LONG, v.type.count)) if v.type.element is DOUBLE else v for v in pair)
            moving = b.or_(moving, b.icmp_signed("!=", x, y))
        moving = moving if mask is None else b.and_(moving, mask)
        whole = ir.IntType(moving.type.count)
        return b.icmp_signed("==", b.bitcast(moving, whole), whole(0))

    def _step(
        self, sample: Any, low: Any, step: Any, lanes: Lanes, memory: _Memory, known: Values, carried: list[Any]
    ) -> tuple[list[Any], Callable[[], Any]]:
        """One step: the new states, how often something was sent, whether anything was lost; whether all stays so."""
        b, frame, program = self.b, self.frame, self.program
        here = b.add(b.mul(sample, frame["block"]), b.sub(step, frame["first"]))
        place = b.add(b.mul(sample, frame["steps"]), step)
        arriving = memory.load(self._input(here, low), DOUBLE if self.outside is DOUBLE else INT)
        states = {s.name: value for s, value in zip(program.states, carried, strict=False)}
        values = {**known, **states, INPUT: self._inward(arriving, lanes)}
        lost: list[Any] = []
        for op in program.ops:
            if op.result not in known:
                emit(lanes, op, values, self.traits)
            if OPS[op.kind].lossy:
                lost.append(b.icmp_signed("!=", values[op.result], values[str(op.args[0])]))
        spikes = values[program.spikes]
        self._send(spikes, lanes, memory, place, low)
        if self.fully:
            self._record(place, here, low, [values[n] for _, n in program.updates], values, lost, memory)
        nonzero = spikes if spikes.type.element == BIT else self._nonzero(spikes, lanes)
        count, dirty = carried[-2:]
        for changed in lost:
            dirty = b.or_(dirty, changed)
        new = [values[name] for _, name in program.updates]
        ends = [*new, b.add(count, b.zext(nonzero, count.type)), dirty]
        return ends, lambda: self._settled(carried[:-2], new, nonzero, memory.mask)

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
            b.store(LONG(1), self.lossy_run)

    def _input(self, row: Any, low: Any) -> Any:
        """The address of the input of neuron ``low`` in row ``row``."""
        b = self.b
        cell = b.add(b.mul(row, self.frame["stride"]), low)
        return b.add(self.frame["current"], b.mul(cell, LONG(8 if self.outside is DOUBLE else 4)))

    def _send(self, spikes: Any, lanes: Lanes, memory: _Memory, place: Any, low: Any) -> None:
        """Write what is sent: a bit for each neuron, or numbers."""
        if self.program.graded:
            memory.store(self._message(spikes, lanes), self._at("sent", place, low))
            return
        b, whole = self.b, ir.IntType(lanes.width)
        spikes = spikes if memory.mask is None else b.and_(spikes, memory.mask)
        row = b.mul(b.mul(place, self.frame["words"]), LONG(8))
        address = b.add(b.add(self.frame["sent"], row), b.sdiv(low, LONG(8)))
        b.store(b.bitcast(spikes, whole), b.inttoptr(address, whole.as_pointer())).align = 1

    def _at(self, name: str, row: Any, low: Any) -> Any:
        """The address of neuron ``low`` in row ``row`` of an array of rows of neurons."""
        b = self.b
        cell = b.add(b.mul(LONG(row) if isinstance(row, int) else row, self.frame["neurons"]), low)
        return b.add(self.frame[name], b.mul(cell, LONG(8)))

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
        vector = ir.VectorType(self.outside, lanes.width)
        return self.b.uitofp(spikes, vector) if self.outside is DOUBLE else self.b.zext(spikes, vector)

    def _nonzero(self, spikes: Any, lanes: Lanes) -> Any:
        if self.outside is DOUBLE:
            return self.b.fcmp_unordered("!=", spikes, lanes.constant(0))
        return self.b.icmp_signed("!=", spikes, lanes.constant(0))
