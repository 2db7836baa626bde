"""What each approximation, and each layer, does to answers and spikes: one at a time made exact, or made alone."""

from collections.abc import Mapping

from ranvier.runtimes.verify.explain import groups
from ranvier.runtimes.verify.explain.bench import Bench
from ranvier.runtimes.verify.explain.layers import Exact
from ranvier.runtimes.verify.explain.results import Effect, LayerComparison, LayerError
from ranvier.runtimes.verify.explain.views import View, agreement, compared


def network_effects(bench: Bench) -> tuple[Effect, ...]:
    """Every approximation that is made anywhere, swapped in all layers at once, free running."""
    baseline, found = bench.run(groups.EVERYTHING), []
    for name in bench.present():
        without, alone = bench.run(frozenset({name})), bench.run(groups.EVERYTHING - {name})
        shares = agreement(bench.frame, baseline, without), agreement(bench.frame, baseline, alone)
        found.append(
            Effect(
                name,
                None,
                *shares,
                accuracy_if_exact=bench.accuracy(without),
                accuracy_alone=bench.accuracy(alone),
            )
        )
    return tuple(found)


def layer_effects(bench: Bench, teacher: View) -> tuple[Effect, ...]:
    """Every approximation of every layer, swapped while the layer is given the float network's spikes."""
    found = []
    for layer in bench.pairs:
        names = bench.active[layer]
        if bench.input_active and any(c.source == bench.port for c in bench.chip.into[layer]):
            names = (groups.INPUT, *names)
        for name in names:
            without = _forced(bench, layer, frozenset({name}), teacher)
            alone = _forced(bench, layer, groups.EVERYTHING - {name}, teacher)
            found.append(
                Effect(name, layer, without.agreement, alone.agreement, without.membrane_rms, alone.membrane_rms)
            )
    return tuple(found)


def layer_errors(bench: Bench, teacher: View, free: Mapping[str, LayerComparison]) -> tuple[LayerError, ...]:
    """The table per layer; ``free``: float against deployed, each running by itself."""
    found = []
    for layer in bench.pairs:
        one_exact: dict[str, Exact] = {layer: groups.EVERYTHING}
        others = [name for name in (*bench.pairs, bench.port) if name != layer]
        one_deployed = dict.fromkeys(others, groups.EVERYTHING)
        accuracies: tuple[float | None, float | None] = (None, None)
        if bench.labels is not None:
            accuracies = bench.accuracy(bench.run(one_exact)), bench.accuracy(bench.run(one_deployed))
        forced = _forced(bench, layer, groups.NOTHING, teacher)
        found.append(LayerError(layer, free[layer], forced, *accuracies))
    return tuple(found)


def forced_by(bench: Bench, exact: Exact, teacher: View) -> dict[str, LayerComparison]:
    """Every layer in the mixture ``exact``, given what ``teacher`` sent, against the teacher's own layer."""
    known = [layer for layer in bench.pairs if layer in teacher.sent]
    senders = {*teacher.sent, bench.port}
    return {
        layer: _forced(bench, layer, exact, teacher)
        for layer in known
        if all(c.source in senders for c in bench.chip.into[layer])
    }


def _forced(bench: Bench, layer: str, exact: Exact, teacher: View) -> LayerComparison:
    sent, membrane = bench.forced(layer, exact, bench.wires(teacher, groups.INPUT in exact))
    sides = teacher.sent[layer], sent
    return compared(bench.frame, layer, sides, (teacher.membrane.get(layer), membrane))
