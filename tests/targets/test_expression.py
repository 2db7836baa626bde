import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.targets.expression import MAX_CHARACTERS, ExpressionError, ceil_to, clog2, parse

NAMES = frozenset({"n", "m"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n * 2**clog2(m + 1)", 7 * 8),
        ("ceil_to(n, 4) // 2 - 1", 3),
        ("max(n, m, 9) + min(n, m)", 14),
        (" (n + m) * 3 ", 36),
    ],
)
def test_values(text: str, value: int) -> None:
    assert parse(text, NAMES)({"n": 7, "m": 5}) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "n.real",
        "n if m else 1",
        "[n for n in m]",
        "lambda: 1",
        "1.5",
        "True",
        "n / m",
        "-n",
        "'a' * 3",
        "unknown + 1",
        "print(n)",
        "clog2(n, m)",
        "max(*n)",
        "max(n, key=m)",
        "n +",
        "",
        "(" * 150,
        "9" * 150,
        "n\x00",
        "n + " * MAX_CHARACTERS + "1",
    ],
)
def test_refused_when_parsed(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text, NAMES)


@pytest.mark.parametrize(
    "text", ["n // 0", "2 ** 65", "2 ** (0 - 1)", "((9**64)**64)**64", "ceil_to(n, 0)", "clog2(0 - n)"]
)
def test_refused_when_evaluated(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text, NAMES)({"n": 1, "m": 1})


@given(st.integers(0, 2**70))
def test_clog2_is_the_smallest_power(x: int) -> None:
    k = clog2(x)
    assert 2**k >= x
    assert k == 0 or 2 ** (k - 1) < x


@given(st.integers(-1000, 1000), st.integers(1, 70))
def test_ceil_to_is_the_next_multiple(x: int, m: int) -> None:
    assert ceil_to(x, m) % m == 0
    assert 0 <= ceil_to(x, m) - x < m


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        parse(text, NAMES)({"n": 3, "m": 4})
