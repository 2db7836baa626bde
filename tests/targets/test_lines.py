import tomllib
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from ranvier.targets.lines import KeyPath, key_lines, line_of

TEXT = '''# comment = 1
a.b = { v = 1, "q.r" = [1, 2] } # trailing
"quoted key" = "x # no = comment]"

[t]
list = [
  { name = "one" },   # with ] bracket
  { name = 'two', v = [3,
     4] },
]
multi = """
[not.a.header]
k = "q" \\""" still
"""
d = 1979-05-27T07:32:00Z

[[t.pools]]
name = "p0"
[[t.pools]]
name = "p1"
[t.pools.deep]
z = 0x1F
'''


def test_every_kind_of_key() -> None:
    lines = key_lines(TEXT)
    assert lines["a", "b"] == lines["a", "b", "v"] == 2
    assert lines["a", "b", "q.r", 1] == 2
    assert lines["quoted key",] == 3
    assert lines["t",] == 5
    assert lines["t", "list"] == 6
    assert lines["t", "list", 0, "name"] == 7
    assert lines["t", "list", 1] == 8
    assert lines["t", "list", 1, "v", 1] == 9
    assert lines["t", "multi"] == 11
    assert lines["t", "d"] == 15
    assert lines["t", "pools"] == lines["t", "pools", 0] == 17
    assert lines["t", "pools", 1, "name"] == 20
    assert lines["t", "pools", 1, "deep", "z"] == 22
    assert ("not",) not in lines


def test_an_unknown_path_is_placed_at_what_holds_it() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("t", "list", 1, "absent", "deeper")) == 8
    assert line_of(lines, ("absent",)) == 1


def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from paths(inner, (*path, number))


KEY = st.text("abc-_1", min_size=1, max_size=3)
STRING = st.text("ab#[]{}=,. '", max_size=5).map(lambda s: f'"{s}"')
VALUE = st.recursive(
    st.integers(-5, 5).map(str) | STRING | st.just("'''a\nb'''"),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda xs: "[" + ",\n ".join(xs) + "]")
        | st.dictionaries(KEY, inner, max_size=3).map(
            lambda d: "{" + ", ".join(f"{k} = {v}" for k, v in d.items()) + "}"
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(KEY, st.dictionaries(KEY, VALUE, max_size=3), max_size=3))
def test_every_path_of_the_parsed_data_has_a_line(tables: dict[str, dict[str, str]]) -> None:
    text = "".join(f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in table.items()) for name, table in tables.items())
    assert set(key_lines(text)) == set(paths(tomllib.loads(text)))
