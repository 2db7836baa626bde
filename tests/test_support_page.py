"""docs/support.md is what the code says, every class of the frontends' tables stands in it, and exact means exact."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.neurons import RegisterLif
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.frontends.torch import layers, leaves, pooling, rockpool, sinabs, slayer
from ranvier.runtimes import oracle, reference
from ranvier.runtimes.observe import observe
from ranvier.runtimes.recording import Records
from ranvier.standing import stimulus
from ranvier.support import support_rows
from ranvier.targets.load import load_target
from support.page import frameworks
from support.page import layers as examples
from support.page.page import Page
from support.page.support_page import written

Array = NDArray[np.float64]
KEPT: Records = ("spikes", "membrane")
ROUNDING = 1e-9
PAGE = Path(__file__).parents[1] / "docs" / "support.md"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@cache
def page() -> Page:
    return written()


def test_the_page_is_the_codes_own() -> None:
    assert PAGE.read_text() == page().text(), "run make docs"


def test_every_neuron_class_of_the_tables_has_an_example() -> None:
    assert frameworks.without_example() == []
    known = {path for adapters, _ in frameworks.FRAMEWORKS.values() for path in adapters}
    assert known | set(slayer.TABLE) == set(leaves.NEURONS)


def test_every_layer_of_the_tables_has_an_example() -> None:
    known = {*layers.LAYERS, *pooling.LAYERS, *sinabs.LAYERS, *rockpool.LAYERS, *layers.RESHAPES}
    shown = {key.partition(":")[0] for key in examples.TORCH}
    assert shown == {path.rpartition(".")[2] for path in known}
    assert "no example" not in page().text()


def test_the_page_shows_every_verdict_and_every_neuron_of_the_readme() -> None:
    text = page().text()
    assert all(verdict in text for verdict in ("| exact", "| approximate: ", "| refused, "))
    classes = [names.split(", ") for part, what, names in support_rows() if part == "torch" and "neurons" in what]
    assert all(f"{name} |" in text for names in classes for name in names)


def lowered(network: Network, target: str) -> ChipNetwork:
    prepared = prepare(network)
    return lower(prepared, load_target(target), observe(prepared, stimulus(network)), Options())


def model_of(network: Network, name: str) -> Any:
    node = network.by_name[name]
    assert isinstance(node, Neurons)
    return node.model


def undecided(model: Any, membrane: Array) -> NDArray[np.bool_]:
    """Where the sums of the float network, thirds among them, have come within rounding of the threshold before."""
    frame = membrane.shape[2:]
    distance = np.abs(membrane - np.broadcast_to(model.threshold, int(np.prod(frame))).reshape(frame))
    near: NDArray[np.bool_] = np.logical_or.accumulate((distance > 0) & (distance < ROUNDING), axis=1)
    return near


def test_what_is_called_exact_does_what_the_float_network_does() -> None:
    exact = [(network, target) for network, target, found in page().asked if found.verdict == "exact"]
    assert len(exact) > 60
    compared = 0
    for network, target in exact:
        x, chip = stimulus(network), lowered(network, target)
        ours, theirs = reference.run(network, x, KEPT), oracle.run(chip, x, KEPT)
        assert not theirs.overflows
        for population in chip.populations:
            name, model = population.name, model_of(network, population.name)
            unit = 1.0 if isinstance(model, RegisterLif) else population.scale
            decided = ~undecided(model, ours.membrane[name])
            sent = ours.spikes[name] * getattr(model, "message_scale", 1.0)
            np.testing.assert_allclose(sent[decided], theirs.spikes[name][decided], rtol=1e-15)
            membrane = theirs.membrane[name][decided] / unit
            np.testing.assert_allclose(membrane, ours.membrane[name][decided], atol=ROUNDING)
            compared += int(np.count_nonzero(ours.spikes[name][decided]))
    assert compared > 10_000
