"""Pictures of placed programs: every core, layer and message is in them, they can be read, and they come as files."""

import json
import re
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier
from ranvier.app import App
from ranvier.compiler.analysis.flows import flows
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.program import CoreSite, Piece, Placement, Program
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.report import write_html
from ranvier.report.colours import OKABE_ITO, ink, of_layers
from ranvier.report.cores import CALIBRATED, MEASURED, Cores, cores
from ranvier.report.layout import MOST_CORES, layout
from ranvier.report.mapping import mapping_figures, sized, traffic_labels
from ranvier.report.pictures import write_pictures
from ranvier.targets.load import load_target
from support.apps import small_data, small_network
from support.browser import visit
from support.byte_networks import device_program, speck_network, spikes

LAYERS, SIZE = 9, 40


def chain(layers: int = LAYERS, name: str = "layer") -> ChipNetwork:
    """Layers of ``SIZE`` neurons, all to all."""
    params = {"du": np.array(400), "dv": np.array(300), "vth": np.array(64), "bias": np.array(0)}
    zero = {"u": np.array(0), "v": np.array(0)}
    names = [f"{name}{n}" for n in range(layers)]
    pops = tuple(Population(n, (SIZE,), chip_lif(Features()), params, zero, k + 1) for k, n in enumerate(names))
    weight = DenseSynapse(np.full((SIZE, SIZE), 2, np.int32))
    ways = tuple(
        Connection(f"to_{b}", a, b, weight, 0, "mixed", 0) for a, b in zip(["in", *names], names, strict=False)
    )
    rates = dict.fromkeys(names, 0.25)
    return ChipNetwork("net", "loihi1", (Port("in", (SIZE,)),), pops, ways, Readout(names[-1]), rates=rates)


def app(layers: int = LAYERS, tiles: bool = True, name: str = "layer", chips: int = 2) -> App:
    """Each layer on two cores, of which it shares the second with the next layer; four cores a tile, on some chips."""
    chip = chain(layers, name)
    pieces = []
    for k, p in enumerate(chip.populations):
        pieces += [Piece(p.name, 0, SIZE // 2, k), Piece(p.name, SIZE // 2, SIZE, k + 1)]
    per_chip = -(-(layers + 1) // chips)
    sites = []
    for core in range(layers + 1):
        tile = core % per_chip // 4
        sites.append(CoreSite(core, core // per_chip, *((tile % 3, tile // 3) if tiles else (-1, -1))))
    return App(Program(chip, Placement(tuple(pieces), tuple(sites)), "loihi1"), load_target("loihi1"))


def seen(made: App) -> Cores:
    return cores(made, made.report())


def test_the_map_holds_every_core_and_every_layer_by_its_neurons() -> None:
    made = app()
    found = seen(made)
    assert set(found.held) == {site.core for site in made.program.placement.sites}
    held: dict[str, int] = {}
    for unit in found.held.values():
        for name, count in unit.neurons.items():
            held[name] = held.get(name, 0) + count
    assert held == {p.name: p.size for p in made.program.chip.populations}
    assert found.held[1].bands(5) == ("layer0",) * 2 + ("layer1",) * 3
    assert found.where[5] == "core 5, chip 1, tile (0, 0)"
    assert found.size == "10 cores on 2 chips"


def test_traffic_is_that_of_the_rates() -> None:
    made = app()
    found = seen(made)
    flow = flows(made.program.chip, made.program.placement.pieces)
    assert found.load.messages == flow.messages.sum() > 0
    assert found.rates == CALIBRATED
    assert found.busiest is not None
    assert found.busiest[0] == found.load.busiest_link
    assert sum(found.messages.values()) == pytest.approx(found.load.messages + found.load.hops)
    small = ranvier.compile(small_network(), "loihi2", small_data(40)[0])
    _, report = small.measure(small_data(5)[0])
    assert cores(small, report).rates == MEASURED


def test_cores_of_an_unknown_mesh_stand_in_order() -> None:
    found = seen(app(tiles=False))
    assert not found.map.meshed
    assert found.busiest is None
    assert sum(found.messages.values()) == pytest.approx(2 * found.load.messages)
    (placement,) = (f for f in mapping_figures(found) if f.name == "placement")
    assert "not published" in placement.caption


@given(st.integers(1, 60), st.integers(1, 5), st.booleans())
def test_no_two_cells_overlap(count: int, chips: int, meshed: bool) -> None:
    sites = [
        CoreSite(n, n % chips, *((n // chips // 4 % 3, n // chips // 12) if meshed else (-1, -1))) for n in range(count)
    ]
    plan = layout(Placement((), tuple(sites)))
    cells = [plan.cell(n) for n in range(count)]
    for n, (left, right, lower, upper) in enumerate(cells):
        assert left < right
        assert lower < upper
        a, b, c, d = plan.frames[sites[n].chip]
        assert a - 1e-9 <= left < right <= b + 1e-9
        assert c - 1e-9 <= lower < upper <= d + 1e-9
        assert all(r <= left + 1e-9 or right <= q + 1e-9 or u <= lower + 1e-9 or upper <= s + 1e-9
                   for q, r, s, u in cells[:n])  # fmt: skip


def test_very_many_cores_are_drawn_chip_by_chip() -> None:
    sites = [CoreSite(n, n // 100, n % 100 // 10, n % 10) for n in range(MOST_CORES + 4)]
    plan = layout(Placement((), tuple(sites)))
    assert (plan.unit, len(plan.places)) == ("chip", 41)
    assert len(set(plan.places.values())) == 41


@pytest.mark.parametrize("count", [1, 7, 8, 30, 200])
def test_colours_of_neighbours_differ_in_lightness_or_are_of_okabe_and_ito(count: int) -> None:
    chosen = of_layers(count)
    assert len(set(chosen)) == count
    if count <= len(OKABE_ITO):
        assert chosen == OKABE_ITO[:count]
        return

    def light(colour: str) -> float:
        return sum(w * int(colour[i : i + 2], 16) for w, i in ((0.2126, 1), (0.7152, 3), (0.0722, 5)))

    near = [abs(light(a) - light(b)) for a, b in pairwise(chosen)]
    assert np.mean(near) > 15
    assert {ink(c) for c in chosen} == {"#000000", "#ffffff"}


def test_labels_that_do_not_fit_are_left_out() -> None:
    labels = traffic_labels(seen(app()))
    assert [size for _, size in sized(labels, 100.0, (6.0, 12.0), alike=True)] == [12.0] * len(labels)
    assert sized(labels, 5.0, (6.0, 12.0), alike=True) == []


def png_size(path: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


@pytest.mark.parametrize("made", [app(), app(3, tiles=False), app(30, chips=6)], ids=["mesh", "order", "many"])
def test_pictures_are_written_the_same_each_time(made: App, tmp_path: Path) -> None:
    found = seen(made)
    names = ["placement", "traffic", "utilisation", "cost"]
    for folder in ("a", "b"):
        written = write_pictures(found, "net $x^2$ on loihi1", tmp_path / folder)
        assert [path.name for path in written] == [f"{name}.svg" for name in names]
    for name in names:
        text = (tmp_path / "a" / f"{name}.svg").read_text()
        assert text == (tmp_path / "b" / f"{name}.svg").read_text()
        assert "net $x^2$ on loihi1" in text
    text = (tmp_path / "a" / "placement.svg").read_text()
    assert all(f"{n + 1} {layer}" in text for n, layer in enumerate(found.layers))
    assert "messages a step" in (tmp_path / "a" / "traffic.svg").read_text()
    for path in write_pictures(found, "net", tmp_path, "png"):
        assert min(png_size(path)) > 300
    assert {path.suffix for path in tmp_path.rglob("*.*")} == {".svg", ".png"}


@pytest.mark.parametrize(("kind", "folder", "code"), [("gif", ".", "RV470"), ("svg", "file", "RV472")])
def test_what_cannot_be_written_is_refused(kind: str, folder: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RanvierError) as refused:
        write_pictures(seen(app(3)), "net", tmp_path / folder, kind)
    assert [d.code for d in refused.value.diagnostics] == [code]


def test_a_chip_with_a_layer_per_core_has_pictures_too(tmp_path: Path) -> None:
    speck = App(device_program(speck_network(0), "speck2f", spikes((2, 12, 12), 0)))
    written = write_pictures(seen(speck), "speck", tmp_path)
    assert [path.stem for path in written] == ["placement", "traffic", "cost"]
    write_html(speck, tmp_path / "page.html")


def specs(page: Path) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="specs">(.*?)</script>', page.read_text(), re.DOTALL)
    return dict(json.loads(found))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_them_without_complaints(scheme: str, tmp_path: Path) -> None:
    evil = "</script><b onmouseover=alert(1)>"
    write_html(app(12, name=evil), tmp_path / "page.html")
    figures = specs(tmp_path / "page.html")
    assert {"placement", "traffic", "utilisation", "cost"} <= set(figures)
    ticks = figures["placement"]["data"][0]["colorbar"]["ticktext"]
    assert not any("<" in text for text in [*ticks, *figures["cost"]["data"][0]["y"]])
    hovers = {text for row in figures["placement"]["data"][0]["hovertext"] for text in row}
    assert all("<b " not in text for text in hovers)
    seen_page = visit(tmp_path / "page.html", tmp_path, scheme)
    assert seen_page.console == ()
    assert f'data-drawn="{len(figures)}"' in seen_page.dom
