"""The few vector instructions of the synapse kernels that Numba cannot be made to find by itself.

Each is an LLVM instruction sequence of any width, which LLVM maps to the registers of the processor at hand. Sums of
rows stay in registers over the whole list of senders: memory is read once per weight and written once per sum.
"""

# ruff: noqa: ARG001, PLR0913, PLR0917 -- Numba calls these functions with more than each of them needs

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

BIT, SHORT, INT, LONG = (ir.IntType(bits) for bits in (1, 16, 32, 64))
WIDTH = 64  # targets of one tile of weights: a cache line of int8
SPAN = 64  # wires looked at together
BLOCK = 16  # channels that a kernel of a convolution adds at once, and the side of a block that is transposed


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
def add_rows(typing: Any, tile: Any, senders: Any, begin: Any, end: Any, shift: Any, out: Any) -> Any:
    """``out += (sum of tile[senders[k]] for begin <= k < end) << shift`` for the ``WIDTH`` columns of ``tile``.

    The sum is made in 16 bits for int8 and int16 weights, else in the type of the weights.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, places, _, _, _, _ = _operands(context, builder, signature, args)
        kind = _sum_type(signature.args[0].dtype)

        def body(k: Any, total: Any) -> Any:
            row = _row(builder, weights, builder.load(builder.gep(places, [k])), signature.args[0].dtype)
            return _plus(builder, total, _widened(builder, row, kind))

        total = _summed(builder, args[2], args[3], kind, body)
        _add_to(context, builder, signature, args, total)
        return context.get_dummy_value()

    return types.void(tile, senders, types.intp, types.intp, types.intp, out), generate


@instruction
def add_rows_times(
    typing: Any, tile: Any, senders: Any, begin: Any, end: Any, shift: Any, out: Any, values: Any
) -> Any:
    """``out += (sum of values[k] * tile[senders[k]]) << shift`` in 32 bits, or in the type of float weights."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, places, *_ = _operands(context, builder, signature, args)
        factors = _data(context, builder, signature, args, 6)
        kind = ir.DoubleType() if isinstance(signature.args[0].dtype, types.Float) else INT

        def body(k: Any, total: Any) -> Any:
            row = _row(builder, weights, builder.load(builder.gep(places, [k])), signature.args[0].dtype)
            factor = builder.load(builder.gep(factors, [k]))
            factor = builder.trunc(factor, kind) if kind is INT else factor
            return _plus(builder, total, _times(builder, _widened(builder, row, kind), _splat(builder, factor)))

        total = _summed(builder, args[2], args[3], kind, body)
        _add_to(context, builder, signature, args, total)
        return context.get_dummy_value()

    return types.void(tile, senders, types.intp, types.intp, types.intp, out, values), generate


@instruction
def add_line(typing: Any, weight: Any, start: Any, value: Any, total: Any, at: Any) -> Any:
    """``total.flat[at + k] += value * weight.flat[start + k]`` for k below ``BLOCK``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(total.dtype)
        taps = _block(context, builder, signature, args, 0, args[1])
        sums = _block(context, builder, signature, args, 3, args[4])
        factor = args[2]
        if isinstance(kind, ir.IntType) and factor.type.width > kind.width:
            factor = builder.trunc(factor, kind)
        row = _widened(builder, _load(builder, taps), kind)
        _store(
            builder, _plus(builder, _load(builder, sums), _times(builder, row, _splat(builder, factor, BLOCK))), sums
        )
        return context.get_dummy_value()

    return types.void(weight, types.intp, value, total, types.intp), generate


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


@instruction
def take_block(
    typing: Any, total: Any, at: Any, stride: Any, up: Any, down: Any, row: Any, to: Any, pixels: Any, channels: Any
) -> Any:
    """``row.flat[to + c * pixels + p] += (total.flat[at + p * stride + c] << up) >> down`` for p below ``BLOCK`` and c
    below ``channels`` (at most ``BLOCK``); ``total`` is 0 afterwards.

    A square of sums with channels last becomes one with channels first, in registers.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, whole = context.get_value_type(row.dtype), context.get_value_type(total.dtype)
        lines = []
        for p in range(BLOCK):
            place = builder.add(args[1], builder.mul(args[2], LONG(p)))
            sums = _block(context, builder, signature, args, 0, place)
            lines.append(_shifted(builder, _load(builder, sums), whole, args[3], args[4]))
            _store(builder, ir.Constant(ir.VectorType(whole, BLOCK), None), sums)
        for c, line in enumerate(_transposed(builder, lines)):
            with builder.if_then(builder.icmp_signed("<", LONG(c), args[8])):
                place = builder.add(args[6], builder.mul(args[7], LONG(c)))
                out = _block(context, builder, signature, args, 5, place)
                _store(builder, _plus(builder, _load(builder, out), _widened(builder, line, kind)), out)
        return context.get_dummy_value()

    numbers = [types.intp] * 4
    return types.void(total, *numbers, row, types.intp, types.intp, types.intp), generate


def _transposed(builder: Any, lines: list[Any]) -> list[Any]:
    """Lane k of line i becomes lane i of line k: squares of half the side change places, then of a quarter."""
    half = BLOCK // 2
    while half:
        for i in (i for i in range(BLOCK) if not i & half):
            a, b = lines[i], lines[i + half]
            first = [k if not k & half else BLOCK + k - half for k in range(BLOCK)]
            second = [k + half if not k & half else BLOCK + k for k in range(BLOCK)]
            lines[i], lines[i + half] = (_shuffled(builder, a, b, order) for order in (first, second))
        half //= 2
    return lines


def _shuffled(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT, len(order)), [INT(k) for k in order]))


def _shifted(builder: Any, vector: Any, kind: Any, up: Any, down: Any) -> Any:
    """Integers times ``2**up`` and divided by ``2**down``, one of which is 0; floats as they are."""
    if not isinstance(kind, ir.IntType):
        return vector
    up, down = (builder.trunc(n, kind) if kind.width < 64 else n for n in (up, down))
    return builder.ashr(builder.shl(vector, _splat(builder, up, BLOCK)), _splat(builder, down, BLOCK))


def _block(context: Any, builder: Any, signature: Any, args: Any, k: int, at: Any) -> Any:
    """The address of the ``BLOCK`` numbers of argument k that begin at ``at``."""
    kind = context.get_value_type(signature.args[k].dtype)
    start = builder.gep(_data(context, builder, signature, args, k), [at])
    return builder.bitcast(start, ir.VectorType(kind, BLOCK).as_pointer()), kind


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
    """The ``WIDTH`` weights of one sender."""
    kind = ir.DoubleType() if isinstance(weight, types.Float) else ir.IntType(weight.bitwidth)
    start = builder.mul(builder.zext(sender, LONG), LONG(WIDTH))
    vector = ir.VectorType(kind, WIDTH)
    row = builder.load(builder.bitcast(builder.gep(weights, [start]), vector.as_pointer()))
    row.align = weight.bitwidth // 8
    return row


def _summed(builder: Any, begin: Any, end: Any, kind: Any, body: Any) -> Any:
    """The vector that ``body`` carries from ``begin`` to ``end``, at first 0."""
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
    k.add_incoming(builder.add(k, LONG(1)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return total


def _add_to(context: Any, builder: Any, signature: Any, args: Any, total: Any) -> None:
    """``out += total << shift``."""
    out = _data(context, builder, signature, args, 5)
    kind = context.get_value_type(signature.args[5].dtype)
    vector = ir.VectorType(kind, WIDTH)
    pointer = builder.bitcast(out, vector.as_pointer())
    present = builder.load(pointer)
    present.align = signature.args[5].dtype.bitwidth // 8
    total = _widened(builder, total, kind)
    if isinstance(kind, ir.IntType):
        shift = builder.trunc(args[4], kind) if kind.width < 64 else args[4]
        total = builder.shl(total, _splat(builder, shift))
    stored = builder.store(_plus(builder, present, total), pointer)
    stored.align = signature.args[5].dtype.bitwidth // 8


def _splat(builder: Any, value: Any, width: int = WIDTH) -> Any:
    undefined = ir.Constant(ir.VectorType(value.type, width), ir.Undefined)
    single = builder.insert_element(undefined, value, INT(0))
    return _shuffled(builder, single, undefined, [0] * width)


def _widened(builder: Any, vector: Any, kind: Any) -> Any:
    same = not isinstance(kind, ir.IntType) or vector.type.element.width == kind.width
    return vector if same else builder.sext(vector, ir.VectorType(kind, vector.type.count))


def _plus(builder: Any, x: Any, y: Any) -> Any:
    return builder.add(x, y) if isinstance(x.type.element, ir.IntType) else builder.fadd(x, y)


def _times(builder: Any, x: Any, y: Any) -> Any:
    return builder.mul(x, y) if isinstance(x.type.element, ir.IntType) else builder.fmul(x, y)
