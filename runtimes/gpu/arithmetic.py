# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
"""What step operations need beyond Triton's own: device functions that the printed kernels call.

Each works in the width of its operand, 32 or 64 bits.
"""

import triton
import triton.language as tl


@triton.jit
def shift_to_zero(x, bits: tl.constexpr):
    """Divide x by 2**bits, rounded toward zero: a negative x is first raised by 2**bits - 1."""
    sign: tl.constexpr = x.dtype.primitive_bitwidth - 1
    return (x + ((x >> sign) & ((1 << bits) - 1))) >> bits


@triton.jit
def keep_bits(x, bits: tl.constexpr):
    """The lowest bits of x, sign extended."""
    free: tl.constexpr = x.dtype.primitive_bitwidth - bits
    return (x << free) >> free


@triton.jit
def turn_once(x, bits: tl.constexpr):
    """One turn back into (-2**(bits-1), 2**(bits-1)]."""
    half: tl.constexpr = 1 << (bits - 1)
    return tl.where(x > half, x - 2 * half, tl.where(x <= -half, x + 2 * half, x))


@triton.jit
def floor_divide(x, y):
    """Give floor(x / y), and 0 where y is 0, as in numpy; the remainder tells which way the device rounded."""
    divisor = tl.where(y == 0, 1, y)
    quotient = x // divisor
    rest = x - quotient * divisor
    lower = (rest != 0) & ((rest < 0) != (divisor < 0))
    return tl.where(y == 0, 0, quotient - lower.to(x.dtype))


@triton.jit
def note(events, lost, key):
    """Count where ``lost`` and keep the lowest ``key``: ``events`` points to the two numbers of a place."""
    place = events + key * 0
    tl.atomic_add(place, key * 0 + 1, mask=lost)
    tl.atomic_min(place + 1, key, mask=lost)
