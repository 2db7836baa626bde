"""Options: refused where they mean nothing, and read back from an artifact as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.options import Options, options_from, parse_layer_bits

names = st.text(st.characters(categories=["Ll", "Lu", "Nd"], include_characters="._="), min_size=1, max_size=8)


CHOICES = st.tuples(st.booleans(), st.sampled_from(["nearest", "output"]), st.booleans(), st.booleans())


@given(st.integers(2, 24), st.integers(1, 8), st.dictionaries(names, st.integers(1, 8), max_size=3), CHOICES)
def test_provenance_gives_the_options_back(
    input_bits: int, bits: int, layers: dict[str, int], choices: tuple[bool | str, ...]
) -> None:
    options = Options(input_bits, bits, tuple(layers.items()), *choices)
    assert options_from(options.provenance()) == options


def test_what_the_provenance_does_not_name_has_its_default() -> None:
    assert options_from({"network": "n", "input_bits": 5}) == Options(5)


def test_layers_have_their_own_width() -> None:
    options = Options(weight_bits=3, layer_bits=(("b", 6), ("a", 1)))
    assert [options.bits_of(name) for name in "abc"] == [1, 6, 3]
    assert options.layer_bits == (("a", 1), ("b", 6))


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"weight_bits": 9}, "RV631"),
        ({"weight_bits": 0}, "RV631"),
        ({"input_bits": 1}, "RV631"),
        ({"layer_bits": (("fc", 12),)}, "RV631"),
        ({"rounding": "up"}, "RV632"),
    ],
)
def test_what_means_nothing_is_refused(given: dict[str, object], code: str) -> None:
    with pytest.raises(RanvierError, match=code):
        Options(**given)


def test_widths_of_layers_as_they_are_typed() -> None:
    assert parse_layer_bits("fc=4, conv1=6,") == (("conv1", 6), ("fc", 4))
    for text in ("fc", "fc=", "=4", "fc=x"):
        with pytest.raises(RanvierError, match="RV630"):
            parse_layer_bits(text)
