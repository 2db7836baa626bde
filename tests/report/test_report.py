"""The page holds what was found, draws every figure offline without a complaint, and lets nothing in that it quotes."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ranvier
from ranvier.app import App
from ranvier.cli.main import application
from ranvier.compiler.diagnostics import RanvierError
from ranvier.report import read_verification, write_html
from ranvier.report.words import verdict
from ranvier.runtimes.verify import Asked
from support.apps import small_data, small_network
from support.browser import visit

Json = Mapping[str, Any]


@pytest.fixture(scope="module")
def app() -> App:
    return ranvier.compile(small_network(), "loihi2", small_data(40)[0], weight_bits=3)


@pytest.fixture(scope="module")
def verification(app: App) -> Json:
    found = ranvier.verify(app, None, small_data(40), ("simulator", "oracle"), explain=Asked(samples=8, traces=2))
    return dict(json.loads(json.dumps(found.to_json())))


@pytest.fixture(scope="module")
def page(app: App, verification: Json, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_html(app, path, verification, app.measure(small_data(40)[0])[1])
    return path


def figures_of(page: Path) -> tuple[list[str], dict[str, Any]]:
    """The places for figures in the page, and the figures by name."""
    text = page.read_text()
    specs = re.search(r'<script type="application/json" id="specs">(.*?)</script>', text, re.DOTALL)
    assert specs is not None
    return re.findall(r'data-figure="([^"]*)"', text.split('id="specs"')[0]), json.loads(specs[1])


def test_every_figure_has_a_place_and_a_caption(page: Path) -> None:
    places, specs = figures_of(page)
    assert sorted(places) == sorted(specs)
    assert {"spikes", "effects", "margins", "memory", "energy", "confusion-float", "confusion-deployed"} <= set(places)
    assert any(name.startswith("raster-") for name in places)
    assert page.read_text().count("<figcaption>") == len(places)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_all_figures_offline_without_complaints(page: Path, scheme: str, tmp_path: Path) -> None:
    seen = visit(page, tmp_path, scheme)
    assert seen.console == ()
    places, _ = figures_of(page)
    assert f'data-drawn="{len(places)}"' in seen.dom
    assert seen.dom.count('class="main-svg"') >= len(places)
    visit(page, tmp_path, scheme, tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_the_browser_check_can_fail(page: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text().replace('"use strict";', '"use strict"; console.error("planted");', 1))
    assert any("planted" in line for line in visit(broken, tmp_path).console)


def test_the_page_loads_nothing_from_elsewhere(page: Path) -> None:
    head = page.read_text().split("<body>")[0]
    assert "default-src 'none'" in head
    body = re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", body)


def test_accuracies_and_causes_are_those_of_the_verification(page: Path, verification: Json) -> None:
    text = page.read_text()
    assert f"{100 * verification['accuracy']:.2f} %" in text
    for cause in verification["explanation"]["causes"]:
        assert f"step {cause['difference']['step']}, sample {cause['difference']['sample']}" in text


def test_a_program_alone_has_a_report_that_says_it_was_not_verified(app: App, tmp_path: Path) -> None:
    write_html(app, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "not verified" in text
    assert 'id="agreement"' not in text


@pytest.mark.parametrize(
    ("deployed", "p", "agrees", "mood"),
    [(0.97, 1.0, True, "good"), (0.90, 0.06, True, "doubtful"), (0.90, 0.01, True, "bad"), (0.97, 1.0, False, "bad")],
)
def test_the_verdict_follows_the_figures(
    deployed: float, p: float, agrees: bool, mood: str, verification: Json
) -> None:
    figures = {"accuracy": deployed, "float_accuracy": 0.975, "agrees": agrees, "diagnostics": []}
    assert verdict({**verification, **figures, "paired": {"p_value": p}}).mood == mood


def test_names_from_files_stay_names(verification: Json, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    net = replace(small_network(), name=evil)
    app = ranvier.compile(net, "loihi2", small_data(40)[0])
    hostile = json.loads(json.dumps({**verification, "network": evil}).replace('"out"', json.dumps(evil)))
    write_html(app, tmp_path / "report.html", hostile)
    text = (tmp_path / "report.html").read_text()
    assert "<script>alert" not in text
    assert "<img" not in text
    figures_of(tmp_path / "report.html")
    assert visit(tmp_path / "report.html", tmp_path).console == ()


def test_a_verification_of_another_program_is_refused(app: App, verification: Json, tmp_path: Path) -> None:
    with pytest.raises(RanvierError) as refused:
        write_html(app, tmp_path / "report.html", {**verification, "network": "another"})
    assert refused.value.diagnostics[0].code == "RV891"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "3", '{"network": "x"}', "\ud800", "[" * 100_000, '{"network": 1, "samples": true}'],
)
def test_what_is_no_verification_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(RanvierError) as refused:
        read_verification(path)
    assert refused.value.diagnostics[0].code == "RV890"


@pytest.mark.parametrize(
    "part", ["explanation", "confusion", "agreement", "diagnostics", "comparisons", "overflows", "interval"]
)
@pytest.mark.parametrize("value", [{"a": 1}, [1], "x", 3])
def test_parts_of_another_form_are_refused_or_shown_but_never_crash(
    part: str, value: object, app: App, verification: Json, tmp_path: Path
) -> None:
    with suppress(RanvierError):
        write_html(app, tmp_path / "report.html", {**verification, part: value})


def test_a_path_that_cannot_be_written_is_refused(app: App, tmp_path: Path) -> None:
    with pytest.raises(RanvierError) as refused:
        write_html(app, tmp_path / "none" / "report.html")
    assert refused.value.diagnostics[0].code == "RV893"


def test_the_verb_shows_the_same_on_the_terminal(
    app: App, verification: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, labels = small_data(40)
    app.save(tmp_path / "small.rnv")
    (tmp_path / "v.json").write_text(json.dumps(verification))
    np.savez(tmp_path / "data.npz", inputs=inputs, labels=labels)
    names = [str(tmp_path / name) for name in ("small.rnv", "v.json", "data.npz", "report.html")]
    with pytest.raises(SystemExit) as ended:
        application()(["report", names[0], "--verification", names[1], "--data", names[2], "-o", names[3]])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"{100 * verification['accuracy']:.2f} %" in shown
    assert "first spikes that differ" in shown
    assert (tmp_path / "report.html").is_file()
