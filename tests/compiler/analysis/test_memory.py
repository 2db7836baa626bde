import json

from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.analysis.memory import memory
from ranvier.compiler.passes.partition import Partition
from ranvier.compiler.passes.place import Place
from ranvier.targets.load import load_target
from support.mapping import core_counters
from support.networks import Limits, chip_networks

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")


@given(st.data(), st.integers(2, 30))
def test_the_report_equals_the_slow_count(data: st.DataObject, most: int) -> None:
    target = data.draw(st.sampled_from([LOIHI1, LOIHI2]))
    chip = data.draw(chip_networks(Limits(stock_only=not target.programmable, max_neurons=20)))
    placement = Place(target)(Partition(target, max_neurons=most)(chip).pieces)
    report = memory(chip, placement, target)
    counted = core_counters(chip, target, placement.pieces)
    assert [core.core for core in report.cores] == sorted(counted)
    for core in report.cores:
        expected = counted[core.core]
        assert core.weight_bytes == -(-expected["bits"] // 8)
        assert core.state_bytes == expected["n_state_bytes"]
        assert core.in_axons == expected["n_in_lists"]
        assert core.out_axons == expected["n_out_slots"]
    assert sum(layer.neurons for layer in report.layers) == sum(p.size for p in chip.populations)
    assert sum(layer.state_bytes for layer in report.layers) == report.state_bytes
    assert sum(layer.out_axons for layer in report.layers) == sum(c.out_axons for c in report.cores)
    assert {layer.name: layer.cores for layer in report.layers} == {
        p.name: len({q.core for q in placement.pieces if q.population == p.name}) for p in chip.populations
    }
    json.dumps(report.to_json())


@given(st.data())
def test_what_binds_is_the_fullest_resource(data: st.DataObject) -> None:
    chip = data.draw(chip_networks(Limits(max_neurons=20)))
    report = memory(chip, Place(LOIHI2)(Partition(LOIHI2)(chip).pieces), LOIHI2)
    for core in report.cores:
        shares = {u.resource: u.used / u.limit for u in core.usages}
        assert shares[core.binding.resource] == max(shares.values())
        assert max(shares.values()) <= 1
    assert all(0 <= share <= 1 for share in report.utilisation.values())


@given(st.data())
def test_estimates_are_named(data: st.DataObject) -> None:
    chip = data.draw(chip_networks(Limits(stock_only=True, max_neurons=5)))
    reports = {t.name: memory(chip, Place(t)(Partition(t)(chip).pieces), t) for t in (LOIHI1, LOIHI2)}
    assert reports["loihi1"].estimates == ()
    assert [e.split(":")[0] for e in reports["loihi2"].estimates] == [
        "core_memory.synapses",
        "core_memory.axons_and_microcode",
    ]
