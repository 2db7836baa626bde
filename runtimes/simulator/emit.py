"""A step program printed as the Python source of a kernel that runs one population.

``neuron`` holds the program, one operation a line (what each becomes stands in ``EXPRESSIONS``);
``advance`` surrounds it with the loops over samples, steps and neurons, written so that the innermost loop
compiles to vector instructions. Overflows only set a bit there; a step that had one is repeated by
``locate``, which counts. A generated file imports numba and numpy only.
"""

from collections.abc import Mapping

from ranvier.compiler.ir.steps import INPUT, OPS, Domain, Op, Operand, StepProgram

EXPRESSIONS: Mapping[str, str] = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "minimum": "min({0}, {1})",
    "maximum": "max({0}, {1})",
    "divide_floor": "floor_divide({0}, {1})",
    "mul_shift": "shift_to_zero({0} * {1}, {2})",
    "shift_left": "{0} << {1}",
    "shift_right": "{0} >> {1}",
    "wrap": "keep_bits({0}, {1})",
    "wrap_once": "turn_once({0}, {1})",
    "clip": "min(max({0}, {1}), {2})",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "and": "{0} and {1}",
    "not": "not {0}",
    "where": "{1} if {0} else {2}",
}

FLOAT_EXPRESSIONS: Mapping[str, str] = {
    **EXPRESSIONS,
    "minimum": "np.minimum({0}, {1})",
    "maximum": "np.maximum({0}, {1})",
}

SECTION = 256  # neurons whose states and parameters stay in the first-level cache over a block of steps

INTEGER_HELPERS = '''

@njit(nogil=True, error_model="numpy")
def shift_to_zero(x, bits):
    """x / 2**bits rounded toward zero: a negative x is first raised by 2**bits - 1."""
    return (x + ((x >> 63) & ((1 << bits) - 1))) >> bits


@njit(nogil=True, error_model="numpy")
def keep_bits(x, bits):
    """The lowest bits of x, sign extended."""
    return (x << (64 - bits)) >> (64 - bits)


@njit(nogil=True, error_model="numpy")
def turn_once(x, bits):
    """One turn back into (-2**(bits-1), 2**(bits-1)]."""
    half = 1 << (bits - 1)
    return x - 2 * half if x > half else (x + 2 * half if x <= -half else x)


@njit(nogil=True, error_model="numpy")
def floor_divide(x, y):
    """floor(x / y), and 0 where y is 0, as in numpy."""
    return x // y if y != 0 else 0

'''

FLOAT_HELPERS = '''

@njit(nogil=True, error_model="numpy")
def floor_divide(x, y):
    """floor(x / y) as numpy rounds it: by the remainder, so that no quotient just below a whole number is lifted."""
    if y == 0:
        return x / y
    remainder = np.fmod(x, y)
    quotient = (x - remainder) / y
    if remainder != 0 and (y < 0) != (remainder < 0):
        quotient -= 1.0
    whole = np.floor(quotient)
    return whole + 1.0 if quotient - whole > 0.5 else whole

'''

NEURON = '''
@njit(nogil=True, error_model="numpy")
def neuron({arguments}):
    """One step of a neuron: its new states, what it sends, its membrane, a bit for each overflow."""
{body}
    return {results}

'''

LOCATE = '''
@njit(nogil=True, error_model="numpy")
def locate(sample, step, low, arriving, before, params, events):
    """Repeat a step that had overflows: count them by place and keep the first of each."""
    for i in range(arriving.size):
        overflow = neuron({given})[-1]
        for place in range({places}):
            if (overflow >> place) & 1:
                row = events[place]
                row[0] += 1
                if row[0] == 1 or (sample, step, low + i) < (row[1], row[2], row[3]):
                    row[1], row[2], row[3] = sample, step, low + i

'''

ADVANCE = '''
@njit(
    void(int64, int64, {current}[:, :, ::1], {number}[:, :, ::1], {sent}[:, :, ::1], {number}[:, :, ::1],
         {number}[:, :, :, :], int64[::1], int64[:, ::1], {number}[:, ::1]),
    cache=True, nogil=True, error_model="numpy",
)
def advance(first, last, current, states, sent, membrane, kept, fired, events, params):
    """Network steps first..last-1 of one population for all samples of a piece of work.

    current (samples, block, neurons): the input; states (samples, states, neurons): updated in place;
    sent, membrane (samples, steps, neurons) and kept (states, samples, steps, neurons): written, the last
    two unless empty; fired (neurons): counts what was sent; events (places, 4): overflows; params
    (parameters, neurons).
    """
    sections = [(sample, low) for sample in range(current.shape[0]) for low in range(0, current.shape[2], SECTION)]
    for sample, low in sections:
        cut = slice(low, min(low + SECTION, current.shape[2]))
        count, reached = fired[cut], np.empty(cut.stop - low, {number})
        before = np.empty((states.shape[1], cut.stop - low), {number})
{views}
        for step in range(first, last):
            arriving, out = current[sample, step - first, cut], sent[sample, step, cut]
{saves}
            overflows = 0
            for i in range(out.size):
                {new} = neuron({given})
{stores}
                out[i], reached[i] = spikes, membrane_now
                count[i] += spikes != 0
                overflows |= overflow
            if membrane.shape[0] > 0:
                membrane[sample, step, cut] = reached
            for k in range(kept.shape[0]):
                kept[k, sample, step, cut] = states[sample, k, cut]
            if overflows != 0:
                {careful}
'''


def kernel_source(program: StepProgram) -> str:
    """The source text of the module whose ``advance`` runs populations of ``program``."""
    integer = program.domain == "int"
    number = "int64" if integer else "float64"
    types = {"number": number, "current": "int32" if integer else number, "sent": number if program.graded else "int8"}
    parts = [f'"""Generated by Ranvier; safe to delete.\n\n{program}\n"""\n\nimport numpy as np\n']
    parts += [f"from numba import float64, int8, int32, int64, njit, void\n\nSECTION = {SECTION}\n"]
    parts += [INTEGER_HELPERS if integer else FLOAT_HELPERS]
    parts += [_neuron(program)]
    if lossy(program):
        before = [f"before[{k}, i]" for k in range(len(program.states))]
        params = [f"params[{k}, low + i]" for k in range(len(program.params))]
        parts.append(LOCATE.format(given=_given(number, before, params), places=len(lossy(program))))
    return "".join([*parts, _advance(program, types)])


def lossy(program: StepProgram) -> tuple[Op, ...]:
    """The operations whose overflows are counted, in the order of their places in ``events``."""
    return tuple(op for op in program.ops if OPS[op.kind].lossy)


def _neuron(program: StepProgram) -> str:
    flags = [f"({op.result} != {op.args[0]}) << {k}" for k, op in enumerate(lossy(program))]
    body = [f"{op.result} = {_expression(op, program.domain)}" for op in program.ops]
    body.append(f"overflow = {' | '.join(flags) or 0}")
    names = [INPUT, *(s.name for s in program.states), *program.params]
    results = [*(value for _, value in program.updates), program.spikes, program.membrane, "overflow"]
    return NEURON.format(arguments=", ".join(names), body=_indented(body, 4), results=", ".join(results))


def _advance(program: StepProgram, types: Mapping[str, str]) -> str:
    states = [s.name for s in program.states]
    views = [f"{name} = states[sample, {k}, cut]" for k, name in enumerate(states)]
    views += [f"p_{name} = params[{k}, cut]" for k, name in enumerate(program.params)]
    return ADVANCE.format(
        **types,
        views=_indented(views, 8),
        saves=_indented([f"before[{k}] = {name}" for k, name in enumerate(states)], 12),
        new=", ".join([*(f"new_{name}" for name in states), "spikes", "membrane_now", "overflow"]),
        given=_given(types["number"], [f"{s}[i]" for s in states], [f"p_{name}[i]" for name in program.params]),
        stores=_indented([f"{name}[i] = new_{name}" for name in states], 16),
        careful="locate(sample, step, low, arriving, before, params, events)" if lossy(program) else "pass",
    )


def _given(number: str, states: list[str], params: list[str]) -> str:
    return ", ".join([f"{number}(arriving[i])", *states, *params])


def _expression(op: Op, domain: Domain) -> str:
    table = EXPRESSIONS if domain == "int" else FLOAT_EXPRESSIONS
    return table[op.kind].format(*(_operand(arg) for arg in op.args))


def _operand(arg: Operand) -> str:
    return f"({arg})" if not isinstance(arg, str) and arg < 0 else str(arg)


def _indented(lines: list[str], spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in lines)
