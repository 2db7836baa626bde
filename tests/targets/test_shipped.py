"""The shipped chips: every figure sourced, and the values that the passes rely on."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import ranvier.targets.load
from ranvier.compiler.diagnostics import RanvierError
from ranvier.targets.lines import KeyPath
from ranvier.targets.load import load_any, load_target, meshes, target_names
from ranvier.targets.quantity import Quantity, Sourced, Strict

FOLDER = Path(ranvier.targets.load.__file__).parent
# The only figure that describes the file instead of the chip.
UNSOURCED = {("schema",)}


def numeric_leaves(value: object, path: KeyPath = (), sourced: bool = False) -> Iterator[tuple[KeyPath, bool]]:
    """Paths of all numbers with whether a table around them names a source."""
    if isinstance(value, dict):
        sourced = sourced or "src" in value
        for key, inner in value.items():
            yield from numeric_leaves(inner, (*path, key), sourced)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from numeric_leaves(inner, (*path, number), sourced)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, sourced


def quantities(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Sourced]]:
    if isinstance(value, Strict):
        if isinstance(value, Sourced):
            yield path, value
        for name in type(value).model_fields:
            yield from quantities(getattr(value, name), (*path, name))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from quantities(inner, (*path, key))
    elif isinstance(value, tuple):
        for number, inner in enumerate(value):
            yield from quantities(inner, (*path, number))


def test_names() -> None:
    assert target_names() == ("generic", "loihi1", "loihi2", "speck2f", "stems_1mb", "truenorth", "xylo_a2")
    assert meshes() == ("generic", "loihi1", "loihi2")
    assert all(load_any(name).name == name for name in target_names())


def test_other_kinds_are_no_meshes() -> None:
    with pytest.raises(RanvierError, match=r"RV512.*core.kind = 'single'"):
        load_target("xylo_a2")


@pytest.mark.parametrize("name", target_names())
def test_every_number_has_a_source(name: str) -> None:
    data = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    bare = {path for path, sourced in numeric_leaves(data) if not sourced}
    assert {path for path in bare if "ids" not in path} == UNSOURCED  # the numbers of cores are names


@pytest.mark.parametrize("name", target_names())
def test_every_source_is_cited_with_basis_and_confidence(name: str) -> None:
    target = load_any(name)
    found = list(quantities(target))
    assert len(found) >= (25 if name in meshes() else 7)
    for path, quantity in found:
        assert target.cite(quantity), path
        assert quantity.basis, path
        assert quantity.conf, path


def test_a_value_takes_what_its_source_says_unless_it_says_otherwise() -> None:
    target = load_target("loihi1")
    synapse_memory = {r.name: r.cap for r in target.core.resources}["synmem_bits"]
    assert (synapse_memory.basis, synapse_memory.conf) == ("architectural", "high")  # conf overridden
    assert (target.chip.mesh.basis, target.chip.mesh.conf) == ("estimate", "low")  # both overridden
    assert target.energy.bases["davies2018"].hop_pj.basis == "simulated"  # both from the source


def test_loihi1() -> None:
    target = load_target("loihi1")
    assert (target.programmable, target.graded_bits, target.shares_convolution) == (False, 0, True)
    assert (target.cores_per_chip, target.max_chips) == (128, 16384)
    caps = {r.name: r.cap.v for r in target.core.resources}
    assert caps["neurons"] == 1024
    assert caps["synmem_bits"] == 131072 * 8
    assert caps["in_axons"] == caps["out_axons"] == 4096
    lif = target.neuron("loihi.cuba_lif")
    assert lif is target.neuron("loihi.cuba_lif.v1")
    assert (lif.decay_bits, lif.vth_mant_max, lif.vth_exp) == (12, 131071, 6)
    assert 4095 in lif.bias_mant
    assert 4096 not in lif.bias_mant
    assert (lif.bias_exp.low, lif.bias_exp.high) == (0, 7)


def test_loihi2() -> None:
    target = load_target("loihi2")
    assert (target.programmable, target.graded_bits, target.shares_convolution) == (True, 32, True)
    assert (target.cores_per_chip, target.max_chips) == (120, 1152)
    (pool,) = target.core.pools
    assert pool.usable_bytes == 157_286
    assert target.neuron("ranvier.anything.v3") is target.neuron("loihi.cuba_lif.v1")
    assert (target.synapse.weights("mixed").low, target.synapse.weights("mixed").high) == (-256, 254)
    assert (target.synapse.max_delay, target.synapse.max_weight_bits) == (62, 8)


def test_loihi2_has_no_energy_of_its_own_and_says_whose_it_borrows() -> None:
    energy = load_target("loihi2").energy
    assert energy.default == "missing"
    assert list(energy.bases) == ["loihi1.sanafe"]
    own = load_target("loihi1").energy.bases["sanafe"]
    for (path, lent), (_, original) in zip(quantities(energy.bases["loihi1.sanafe"]), quantities(own), strict=True):
        plain = {"src", "basis", "conf", "note"}
        assert lent.model_dump(exclude=plain) == original.model_dump(exclude=plain), path
        assert (lent.basis, lent.conf) == ("estimate", "low")
        assert "loihi1" in str(lent.note)
        assert original.basis == "regression"


def test_missing_is_no_number() -> None:
    target = load_target("loihi2")
    assert target.power.static_mw_per_chip.known() is None
    assert load_target("loihi1").power.static_mw_per_chip.known() == 104.4
    assert isinstance(target.chip.mesh, Quantity)
    assert target.chip.mesh.known() is None
