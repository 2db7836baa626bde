"""The few vector instructions of the synapse kernels that Numba cannot be made to find by itself.

Each is an LLVM instruction sequence of any width, which LLVM maps to the registers of the processor at hand. Sums of
rows stay in registers over the whole list of senders: memory is read once per weight and written once per sum.
"""

# ruff: noqa: ARG001, PLR0913, PLR0917 -- Numba calls these functions with more than each of them needs

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

BIT, SHORT, INT, LONG = (ir.IntType(bits) for bits in (1, 16, 32, 64))
WIDTH = 64  # targets of one tile of weights: a cache line of int8
SPAN = 64  # wires looked at together
TOGETHER = 4  # rows added without a look at the end of the list
COMPRESSES = bool(binding.get_host_cpu_features().get("avx512vbmi2"))
BLOCK, HALF = 16, 8  # channels that a kernel of a convolution adds at once


def instruction(function: Callable[..., Any]) -> Callable[..., Any]:
    """What ``function`` generates, to be called from compiled functions without the first argument."""
    return cast("Callable[..., Any]", intrinsic(function))


@instruction
def nonzero_bits(typing: Any, row: Any, at: Any) -> Any:
    """A bit for each of the ``SPAN`` entries of ``row`` from ``at`` on that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(context.get_value_type(row.dtype), SPAN)
        pointer = builder.gep(_data(context, builder, signature, args, 0), [args[1]])
        values = builder.load(builder.bitcast(pointer, vector.as_pointer()))
        values.align = row.dtype.bitwidth // 8
        compare = builder.fcmp_unordered if isinstance(row.dtype, types.Float) else builder.icmp_signed
        return builder.bitcast(compare("!=", values, ir.Constant(vector, None)), LONG)

    return types.uint64(row, types.intp), generate


@instruction
def lowest_bit(typing: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; one must be."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], BIT(1))

    return types.intp(types.uint64), generate


@instruction
def compressed_bits(typing: Any, bits: Any, base: Any, shift: Any, senders: Any, count: Any) -> Any:
    """Write ``(base + place) << shift`` of every bit that is set to ``senders`` from ``count`` on; the new count.

    All ``SPAN`` entries from ``count`` on may be written to. One instruction of AVX-512 finds the places.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        mask = builder.bitcast(args[0], ir.VectorType(BIT, SPAN))
        index = ir.VectorType(ir.IntType(8), SPAN)
        places = ir.Constant(index, list(range(SPAN)))
        kind = ir.FunctionType(index, [index, mask.type, index])
        compress = builder.module.declare_intrinsic(f"llvm.experimental.vector.compress.v{SPAN}i8", (), kind)
        packed = builder.call(compress, [places, mask, ir.Constant(index, ir.Undefined)])
        wide = builder.zext(packed, ir.VectorType(INT, SPAN))
        first, shift = (builder.trunc(value, INT) for value in (args[1], args[2]))
        wide = builder.shl(builder.add(wide, _splat(builder, first, SPAN)), _splat(builder, shift, SPAN))
        start = builder.gep(_data(context, builder, signature, args, 3), [args[4]])
        builder.store(wide, builder.bitcast(start, wide.type.as_pointer())).align = 4
        return builder.add(args[4], builder.ctpop(args[0]))

    return types.intp(types.uint64, types.intp, types.intp, senders, types.intp), generate


@instruction
def add_lists(
    typing: Any, tile: Any, senders: Any, starts: Any, places: Any, begin: Any, end: Any, most: Any, shift: Any,
    rows: Any, low: Any,
) -> Any:  # fmt: skip
    """For ``begin <= k < end``: ``rows[places[k], low:low + WIDTH] += (sum of tile[senders[i]]) << shift``.

    i runs from ``starts[k]`` to ``starts[k + 1]``, a multiple of ``TOGETHER`` senders, given as where their row begins
    in ``tile``. Sums are made in 16 bits for int8 and int16 weights, ``most`` senders at a time, else in the type of
    the weights.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, lists, bounds, lines, begin, end, most, shift, out, low = _operands(context, builder, signature, args)
        kind = _sum_type(signature.args[0].dtype)
        stride = builder.extract_value(context.make_array(signature.args[8])(context, builder, args[8]).shape, 1)

        def add(k: Any, total: Any) -> Any:
            for i in range(TOGETHER):
                place = builder.load(builder.gep(lists, [builder.add(k, LONG(i))]))
                total = _plus(
                    builder, total, _widened(builder, _row(builder, weights, place, signature.args[0].dtype), kind)
                )
            return total

        with _counted(builder, begin, end) as k:
            last = builder.load(builder.gep(bounds, [builder.add(k, LONG(1))]))
            line = builder.mul(builder.load(builder.gep(lines, [k])), stride)
            place = builder.gep(out, [builder.add(line, low)])
            with _counted(builder, builder.load(builder.gep(bounds, [k])), last, most) as start:
                stop = builder.add(start, most)
                stop = builder.select(builder.icmp_signed("<", stop, last), stop, last)
                total = _summed(builder, start, stop, kind, add, TOGETHER)
                _add_at(context, builder, signature.args[8].dtype, place, total, shift)
        return context.get_dummy_value()

    numbers = [types.intp] * 4
    return types.void(tile, senders, starts, places, *numbers, rows, types.intp), generate


@instruction
def add_rows_times(
    typing: Any, tile: Any, senders: Any, begin: Any, end: Any, shift: Any, out: Any, values: Any
) -> Any:
    """``out += (sum of values[k] * row of senders[k]) << shift`` for ``begin <= k < end``.

    Senders are given as where their row begins in ``tile``. In 32 bits, or in the type of float weights.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, places, *_ = _operands(context, builder, signature, args)
        target = _data(context, builder, signature, args, 5)
        factors = _data(context, builder, signature, args, 6)
        kind = ir.DoubleType() if isinstance(signature.args[0].dtype, types.Float) else INT

        def body(k: Any, total: Any) -> Any:
            row = _row(builder, weights, builder.load(builder.gep(places, [k])), signature.args[0].dtype)
            factor = builder.load(builder.gep(factors, [k]))
            factor = builder.trunc(factor, kind) if kind is INT and factor.type.width > 32 else factor
            return _plus(builder, total, _times(builder, _widened(builder, row, kind), _splat(builder, factor)))

        total = _summed(builder, args[2], args[3], kind, body)
        _add_at(context, builder, signature.args[5].dtype, target, total, args[4])
        return context.get_dummy_value()

    return types.void(tile, senders, types.intp, types.intp, types.intp, out, values), generate


@instruction
def add_products(typing: Any, pairs: Any, number: Any, given: Any, shift: Any, out: Any) -> Any:
    """``out[0:WIDTH] += (pairs @ given) << shift`` in 32 bits, in integers.

    ``pairs`` (``number``, WIDTH, 2) int16: the weights of two wires beside each other; ``given`` (2 ``number``) int16.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, number, values, shift, place = _operands(context, builder, signature, args)
        kind = signature.args[4].dtype
        if isinstance(kind, types.Float):
            return context.get_dummy_value()
        halves = ir.VectorType(SHORT, 2 * WIDTH)

        def multiply(k: Any, total: Any) -> Any:
            both = builder.load(builder.bitcast(builder.gep(values, [builder.mul(k, LONG(2))]), INT.as_pointer()))
            factors = builder.bitcast(_splat(builder, both), halves)
            start = builder.gep(weights, [builder.mul(k, LONG(2 * WIDTH))])
            row = builder.load(builder.bitcast(start, halves.as_pointer()))
            row.align = 2
            return builder.add(total, _pair_sums(builder, row, factors))

        total = _summed(builder, LONG(0), number, INT, multiply)
        _add_at(context, builder, kind, place, total, shift)
        return context.get_dummy_value()

    return types.void(pairs, types.intp, given, types.intp, out), generate


def _pair_sums(builder: Any, x: Any, y: Any) -> Any:
    """``x[2k] * y[2k] + x[2k + 1] * y[2k + 1]`` in 32 bits: one instruction of x86 for as many as a register holds."""
    features, count = binding.get_host_cpu_features(), x.type.count
    name, lanes = "", count
    if features.get("avx512bw"):
        name, lanes = "llvm.x86.avx512.pmaddw.d.512", 32
    elif features.get("avx2"):
        name, lanes = "llvm.x86.avx2.pmadd.wd", 16
    if not name:
        wide = ir.VectorType(INT, count)
        product = builder.mul(builder.sext(x, wide), builder.sext(y, wide))
        even, odd = (_picked(builder, product, list(range(k, count, 2))) for k in (0, 1))
        return builder.add(even, odd)
    vector = ir.VectorType(SHORT, lanes)
    function = builder.module.declare_intrinsic(
        name, (), ir.FunctionType(ir.VectorType(INT, lanes // 2), [vector, vector])
    )
    parts = []
    for start in range(0, count, lanes):
        places = list(range(start, start + lanes))
        parts.append(builder.call(function, [_picked(builder, x, places), _picked(builder, y, places)]))
    while len(parts) > 1:
        size = 2 * parts[0].type.count
        parts = [_shuffled(builder, a, b, list(range(size))) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _picked(builder: Any, vector: Any, places: list[int]) -> Any:
    return _shuffled(builder, vector, vector, places)


@instruction
def add_line(typing: Any, weight: Any, start: Any, value: Any, total: Any, at: Any) -> Any:
    """``total.flat[at + k] += value * weight.flat[start + k]`` for k below ``BLOCK``."""
    return types.void(weight, types.intp, value, total, types.intp), _added(total, BLOCK)


@instruction
def add_half(typing: Any, weight: Any, start: Any, value: Any, total: Any, at: Any) -> Any:
    """The same for k below ``HALF``."""
    return types.void(weight, types.intp, value, total, types.intp), _added(total, HALF)


def _added(total: Any, width: int) -> Callable[..., Any]:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        taps = _block(context, builder, signature, args, 0, args[1], width)
        sums = _block(context, builder, signature, args, 3, args[4], width)
        factor = context.cast(builder, args[2], signature.args[2], total.dtype)
        row = _cast(context, builder, _load(builder, taps), signature.args[0].dtype, total.dtype)
        product = _times(builder, row, _splat(builder, factor, width))
        _store(builder, _plus(builder, _load(builder, sums), product), sums)
        return context.get_dummy_value()

    return generate


@instruction
def shifted(typing: Any, value: Any, up: Any, down: Any) -> Any:
    """``(value << up) >> down`` of an integer; a float as it is."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if isinstance(value, types.Float):
            return args[0]
        kind = args[0].type
        up, down = (builder.trunc(n, kind) if kind.width < 64 else n for n in args[1:])
        return builder.ashr(builder.shl(args[0], up), down)

    return value(value, types.intp, types.intp), generate


def _shuffled(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT, len(order)), [INT(k) for k in order]))


def _block(context: Any, builder: Any, signature: Any, args: Any, k: int, at: Any, width: int) -> Any:
    """The address of the ``width`` numbers of argument k that begin at ``at``."""
    kind = context.get_value_type(signature.args[k].dtype)
    start = builder.gep(_data(context, builder, signature, args, k), [at])
    return builder.bitcast(start, ir.VectorType(kind, width).as_pointer()), kind


def _load(builder: Any, place: Any) -> Any:
    pointer, kind = place
    vector = builder.load(pointer)
    vector.align = _bytes(kind)
    return vector


def _store(builder: Any, vector: Any, place: Any) -> None:
    pointer, kind = place
    builder.store(vector, pointer).align = _bytes(kind)


def _bytes(kind: Any) -> int:
    return kind.width // 8 if isinstance(kind, ir.IntType) else 8


def _operands(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """The arguments, arrays by the address of their data."""
    arrays = [isinstance(kind, types.Array) for kind in signature.args]
    return [_data(context, builder, signature, args, k) if array else args[k] for k, array in enumerate(arrays)]


def _data(context: Any, builder: Any, signature: Any, args: Any, k: int) -> Any:
    return context.make_array(signature.args[k])(context, builder, args[k]).data


def _sum_type(weight: Any) -> Any:
    if isinstance(weight, types.Float):
        return ir.DoubleType()
    return SHORT if weight.bitwidth <= 16 else ir.IntType(weight.bitwidth)


def _row(builder: Any, weights: Any, sender: Any, weight: Any) -> Any:
    """The ``WIDTH`` weights of the sender whose row begins at ``sender``."""
    kind = ir.DoubleType() if isinstance(weight, types.Float) else ir.IntType(weight.bitwidth)
    vector = ir.VectorType(kind, WIDTH)
    row = builder.load(builder.bitcast(builder.gep(weights, [builder.zext(sender, LONG)]), vector.as_pointer()))
    row.align = weight.bitwidth // 8
    return row


def _summed(builder: Any, begin: Any, end: Any, kind: Any, body: Any, by: int = 1) -> Any:
    """The vector that ``body`` carries from ``begin`` to ``end`` in steps of ``by``, at first 0."""
    vector, before = ir.VectorType(kind, WIDTH), builder.block
    head, inside, after = (builder.append_basic_block() for _ in range(3))
    builder.branch(head)
    builder.position_at_end(head)
    k, total = builder.phi(LONG), builder.phi(vector)
    k.add_incoming(begin, before)
    total.add_incoming(ir.Constant(vector, None), before)
    builder.cbranch(builder.icmp_signed("<", k, end), inside, after)
    builder.position_at_end(inside)
    total.add_incoming(body(k, total), builder.block)
    k.add_incoming(builder.add(k, LONG(by)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return total


@contextmanager
def _counted(builder: Any, begin: Any, end: Any, by: Any = None) -> Iterator[Any]:
    """Instructions inside are repeated for a counter from ``begin`` below ``end``."""
    before = builder.block
    head, inside, after = (builder.append_basic_block() for _ in range(3))
    builder.branch(head)
    builder.position_at_end(head)
    k = builder.phi(LONG)
    k.add_incoming(begin, before)
    builder.cbranch(builder.icmp_signed("<", k, end), inside, after)
    builder.position_at_end(inside)
    yield k
    k.add_incoming(builder.add(k, LONG(1) if by is None else by), builder.block)
    builder.branch(head)
    builder.position_at_end(after)


def _add_at(context: Any, builder: Any, number: Any, place: Any, total: Any, shift: Any) -> None:
    """Add ``total << shift`` to the ``WIDTH`` numbers at ``place``."""
    kind = context.get_value_type(number)
    pointer = builder.bitcast(place, ir.VectorType(kind, WIDTH).as_pointer())
    present = builder.load(pointer)
    present.align = number.bitwidth // 8
    total = _widened(builder, total, kind)
    if isinstance(kind, ir.IntType):
        shift = builder.trunc(shift, kind) if kind.width < 64 else shift
        total = builder.shl(total, _splat(builder, shift))
    builder.store(_plus(builder, present, total), pointer).align = number.bitwidth // 8


def _splat(builder: Any, value: Any, width: int = WIDTH) -> Any:
    undefined = ir.Constant(ir.VectorType(value.type, width), ir.Undefined)
    single = builder.insert_element(undefined, value, INT(0))
    return _shuffled(builder, single, undefined, [0] * width)


def _cast(context: Any, builder: Any, vector: Any, given: Any, wanted: Any) -> Any:
    """A vector of ``given`` numbers as one of ``wanted`` ones."""
    kind = ir.VectorType(context.get_value_type(wanted), vector.type.count)
    if isinstance(given, types.Float) and isinstance(wanted, types.Integer):
        return builder.fptosi(vector, kind)
    return _widened(builder, vector, kind.element)


def _widened(builder: Any, vector: Any, kind: Any) -> Any:
    same = not isinstance(kind, ir.IntType) or vector.type.element.width == kind.width
    return vector if same else builder.sext(vector, ir.VectorType(kind, vector.type.count))


def _plus(builder: Any, x: Any, y: Any) -> Any:
    return builder.add(x, y) if isinstance(x.type.element, ir.IntType) else builder.fadd(x, y)


def _times(builder: Any, x: Any, y: Any) -> Any:
    return builder.mul(x, y) if isinstance(x.type.element, ir.IntType) else builder.fmul(x, y)
