"""Files that extend another: one line changes one value, and every value knows whose it is and where it stands."""

import hashlib
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.targets.extends import MAX_CHAIN, merged
from ranvier.targets.files import FOLDER
from ranvier.targets.listing import differences, values
from ranvier.targets.load import load_any, load_target, target_names


def write(folder: Path, **files: str) -> Path:
    """The files; the path of the first."""
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder / f"{next(iter(files))}.toml"


def refused(path: Path) -> tuple[Diagnostic, ...]:
    with pytest.raises(RanvierError) as caught:
        load_any(path)
    return caught.value.diagnostics


def test_more_memory_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, big='extends = "loihi2"\ncore.pools.core_memory.cap_bytes.v = 262144\n')
    big, base = load_target(path), load_target("loihi2")
    assert big.core.pools[0].usable_bytes == int(0.8 * 262144)
    assert big.name == "big"
    assert [key for key, _, _ in differences(base, big)] == ["chip.name", "core.pools.core_memory.cap_bytes"]


def test_a_value_without_a_source_is_its_author_s(tmp_path: Path) -> None:
    cap = "core.pools.core_memory.cap_bytes"
    mine = '\n[sources.lab]\ncite = "our lab"\nbasis = "measured"\nconf = "high"\n'
    bare = load_target(write(tmp_path, bare=f'extends = "loihi2"\n{cap}.v = 1000\n')).core.pools[0].cap_bytes
    assert (bare.src, bare.basis, bare.conf, bare.note) == ("own", "estimate", "low", None)
    path = write(tmp_path, said=f'extends = "loihi2"\n{cap} = {{ v = 1000, src = "lab" }}\n{mine}')
    said = load_target(path)
    assert said.cite(said.core.pools[0].cap_bytes) == "our lab"
    assert (said.core.pools[0].cap_bytes.basis, said.core.pools[0].cap_bytes.note) == ("measured", None)


def test_every_value_knows_its_file_and_line(tmp_path: Path) -> None:
    text = 'extends = "middle.toml"\n\nchip.count.v.cores = 64\n'
    path = write(tmp_path, top=text, middle='# a\nextends = "loihi2"\ncore.resources.neurons.cap.v = 99\n')
    found = {v.key: v for v in values(load_target(path))}
    assert found["chip.count"].place == "top.toml:3"
    assert found["core.resources.neurons.cap"].place == "middle.toml:3"
    assert found["core.resources.neurons.cap"].text == "99"
    assert found["core.resources.in_axons.cap"].place.startswith("loihi2.toml:")
    assert found["chip.name"].text == "top"


def test_lists_with_names_grow_and_others_are_replaced(tmp_path: Path) -> None:
    rule = 'core.resources.lists = { cap = { v = 7, src = "policy" }, use = "n_in_lists" }'
    target = load_target(write(tmp_path, a=f'extends = "loihi2"\n{rule}\nsynapse.weight_bits.v = [4, 8]\n'))
    assert [r.name for r in target.core.resources] == ["neurons", "in_axons", "out_axons", "lists"]
    assert target.synapse.weight_bits.v == (4, 8)


def test_a_system_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, board='extends = "loihi2"\nchip.system = "kapoho_point"\n')
    assert load_target(path).max_chips == 8
    (found,) = refused(write(tmp_path, board='extends = "loihi2"\nchip.system = "kapoho"\n'))
    assert (found.code, "oheo_gulch" in found.message) == ("RV506", True)


def test_the_hash_is_that_of_all_files(tmp_path: Path) -> None:
    path = write(tmp_path, top='extends = "low.toml"\n', low='extends = "loihi1"\n')
    raw = path.read_bytes() + (tmp_path / "low.toml").read_bytes() + (FOLDER / "loihi1.toml").read_bytes()
    assert load_any(path).sha256 == hashlib.sha256(raw).hexdigest()
    assert load_any("loihi1").sha256 == hashlib.sha256((FOLDER / "loihi1.toml").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("files", "code", "place", "says"),
    [
        ({"a": 'extends = "a.toml"\n'}, "RV511", "a.toml:1", "a.toml -> a.toml"),
        ({"a": '\nextends = "b.toml"\n', "b": 'extends = "a.toml"'}, "RV511", "b.toml:1", "a.toml -> b.toml -> a.toml"),
        ({"a": 'extends = "lohi2"\n'}, "RV510", "a.toml:1", "no such target"),
        ({"a": '\nextends = "absent.toml"\n'}, "RV510", "a.toml:2", "absent.toml"),
        ({"a": "extends = 3\n"}, "RV510", "a.toml:1", "is no name"),
        ({"a": 'extends = "\\u0000.toml"\n'}, "RV510", "a.toml:1", "no such target"),
        ({"a": f'extends = "{"x" * 5000}.toml"\n'}, "RV510", "a.toml:1", "no such target"),
        ({"a": 'extends = "loihi2"\ncore.pols = 3\n'}, "RV503", "a.toml:2", "core.pols"),
        ({"a": 'extends = "loihi2"\ncore = 3\n'}, "RV505", "a.toml:2", "core = 3"),
        ({"a": 'extends = "loihi2"\ncore.pools.core_memory.cap_bytes.v = -5\n'}, "RV505", "a.toml:2", "greater than 0"),
        ({"a": 'extends = "loihi2"\ncore.pools.core_memory.cap_bytes = 5\n'}, "RV505", "a.toml:2", "cap_bytes"),
        ({"a": 'extends = "loihi2"\ncore.pools.typo.cap_bytes.v = 5\n'}, "RV504", "a.toml:2", "safety is missing"),
        ({"a": 'extends = "loihi2"\nchip.count.v.cores = 1000000000000\n'}, "RV505", "a.toml:2", "less than or equal"),
        ({"a": 'extends = "b.toml"\n', "b": "x = [1\n"}, "RV502", "b.toml:1", "not TOML"),
        ({"a": 'extends = "loihi2"\nfile = "x"\nplaces = 3\n'}, "RV503", "a.toml:3", "places"),
        ({"a": 'extends = "loihi2"\n[sources]\nlava = 3\n'}, "RV506", "a.toml:3", "sources.lava"),
    ],
)
def test_mistakes_are_named_where_they_are(
    tmp_path: Path, files: Mapping[str, str], code: str, place: str, says: str
) -> None:
    found = refused(write(tmp_path, **files))
    assert any((d.code, d.place) == (code, place) and says in d.message for d in found), found
    assert all(d.fix for d in found)


def test_a_long_chain_is_refused(tmp_path: Path) -> None:
    chain = {f"f{n}": f'extends = "f{n + 1}.toml"\n' for n in range(MAX_CHAIN + 1)}
    (found,) = refused(write(tmp_path, **chain, **{f"f{MAX_CHAIN + 1}": 'extends = "loihi2"'}))
    assert (found.code, str(MAX_CHAIN) in found.message) == ("RV511", True)


def test_long_files_are_refused_together(tmp_path: Path) -> None:
    lines = "".join(f"a{i}.b.c.v = {i}\n" for i in range(3000))
    chain = {f"f{n}": f'extends = "f{n + 1}.toml"\n{lines}' for n in range(8)}
    start = time.monotonic()
    (found,) = refused(write(tmp_path, **chain, f8='extends = "loihi2"'))
    assert (found.code, time.monotonic() - start < 10) == ("RV511", True)


Plain = st.one_of(st.integers(-3, 3), st.booleans(), st.text(max_size=3), st.lists(st.integers(0, 3), max_size=2))


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{k}" = {toml(v)}' for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{"".join(c for c in value if c.isalnum())}"' if isinstance(value, str) else str(value)


def over(below: object, own: object) -> object:
    """The merge of files without sources and names, once more."""
    if isinstance(own, dict) and isinstance(below, dict):
        return {**below, **{k: over(below.get(k), v) for k, v in own.items()}}
    return own


Tables = st.recursive(Plain, lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3), max_leaves=8)


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), Tables, max_size=3), min_size=1, max_size=4))
def test_the_merge_is_key_by_key(tmp_path_factory: pytest.TempPathFactory, layers: list[dict[str, object]]) -> None:
    folder = tmp_path_factory.mktemp("layers")
    wanted: object = {}
    for number, layer in enumerate(layers):
        text = "\n".join(f"{key} = {toml(value)}" for key, value in layer.items())
        below = f'extends = "l{number - 1}.toml"\n' if number else ""
        (folder / f"l{number}.toml").write_text(below + text)
        wanted = over(wanted, tomllib.loads(text))
    found = merged(folder / f"l{len(layers) - 1}.toml").data
    found.pop("chip", None)
    assert found == wanted


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_override_loads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    base = data.draw(st.sampled_from(target_names()))
    keys = sorted(k for k in load_any(base).places if "[" not in k)
    lines = {
        data.draw(st.sampled_from(keys)): data.draw(st.sampled_from(
            ["0", "-1", "1e400", "nan", "9223372036854775808", '""', '"missing"', "[]", "{}", "true", "1000000000000"]))
        for _ in range(data.draw(st.integers(1, 3)))
    }  # fmt: skip
    path = tmp_path_factory.mktemp("any") / "chip.toml"
    path.write_text("\n".join([f'extends = "{base}"', *(f"{k} = {v}" for k, v in lines.items())]))
    found: tuple[Diagnostic, ...] = ()
    try:
        list(values(load_any(path)))
    except RanvierError as problem:
        found = problem.diagnostics
    assert all(d.place.startswith(("chip.toml", base)) and d.fix for d in found)
