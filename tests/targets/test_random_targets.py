"""Random networks on random, also absurd, chips: every limit is kept, or there is a diagnosis; never a hang."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.passes.partition import Partition
from ranvier.compiler.passes.place import Place
from ranvier.targets.load import load_target
from support.mapping import violations
from support.networks import Limits, chip_networks

SECONDS = 20
CAP = st.one_of(st.integers(1, 12), st.integers(1, 400), st.sampled_from([2**20, 2**40, 2**62]))
USES = (
    "n_neurons",
    "n_in_lists",
    "n_out_slots",
    "n_neurons * 2**clog2(max_delay + 1)",
    "max(n_neurons, n_in_lists)",
    "n_synapse_formats",
    "n_vth_profiles + n_compartment_profiles",
    "rule:loihi.synapse_bits",
)


@st.composite
def target_files(draw: st.DrawFn) -> str:
    """A file that extends a shipped chip with limits of any size."""
    lines = [f'extends = "{draw(st.sampled_from(["generic", "loihi2", "loihi1"]))}"']
    width, height = draw(st.sampled_from([(1, 1), (2, 1), (7, 1), (8, 8), (1024, 1024)]))
    cores, mesh = width * height, draw(st.sampled_from(["'missing'", f"[{width}, {height}]"]))
    lines += [
        f"chip.count.v = {{ cores = {cores} }}",
        f"chip.tiles = {{ v = {{ count = {cores}, cores_per_tile = 1 }}, src = 'own' }}",
        f"chip.mesh = {{ v = {mesh}, src = 'own' }}",
        f"chip.systems = {{ v = {{ ours = {draw(st.sampled_from([1, 3, 10**6]))} }}, src = 'own' }}",
        "chip.system = 'ours'",
        f"synapse.share_conv = '{draw(st.sampled_from(['none', 'native']))}'",
    ]
    for number, use in enumerate(draw(st.lists(st.sampled_from(USES), max_size=4, unique=True))):
        cap = draw(CAP)
        scale = 64 if use.startswith("rule") else 1
        rule = f'{{ cap = {{ v = {min(cap * scale, 2**62)}, src = "own" }}, use = "{use}" }}'
        lines.append(f"core.resources.random{number} = {rule}")
    return "\n".join(lines)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=target_files(), chip=chip_networks(Limits(stock_only=True, exponents=(0, 0))))
def test_a_placement_keeps_every_limit_or_there_is_a_diagnosis(
    tmp_path_factory: pytest.TempPathFactory, text: str, chip: ChipNetwork
) -> None:
    path: Path = tmp_path_factory.mktemp("random") / "chip.toml"
    path.write_text(text)
    target, start = load_target(path), time.monotonic()
    try:
        pieces = Partition(target)(chip).pieces
    except RanvierError as refused:
        found = refused.diagnostics
    else:
        found = ()
    assert {d.code for d in found} <= {"RV520", "RV521", "RV522"}
    assert all(d.fix and d.place and "limit" in d.figures for d in found)
    if not found:
        assert violations(chip, target, pieces) == []
        placement = Place(target)(pieces, chip)
        assert len({(site.chip, site.x, site.y) for site in placement.sites}) == placement.cores or (
            target.chip.mesh.known() is None
        )
        assert placement.cores <= target.cores_per_chip * target.max_chips
        assert all(site.chip < target.max_chips for site in placement.sites)
        held = sorted((p.population, p.start, p.stop) for p in pieces)
        for population in chip.populations:
            parts = [(start, stop) for name, start, stop in held if name == population.name]
            assert [0, *(stop for _, stop in parts)] == [*(start for start, _ in parts), population.size]
    assert time.monotonic() - start < SECONDS
