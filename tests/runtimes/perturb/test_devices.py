"""Device files: those that ship say where each figure comes from, and whatever is wrong with others is said."""

from pathlib import Path

import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.runtimes.perturb.load import FOLDER, device_names, load_device

PCM = (FOLDER / "pcm.toml").read_text()


def refused(text: str, tmp_path: Path) -> list[str]:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(RanvierError) as caught:
        load_device(path)
    assert all(d.code == "RV551" and d.place.startswith("mine.toml:") for d in caught.value.diagnostics)
    return [f"{d.place} {d.message}" for d in caught.value.diagnostics]


def test_shipped_devices_name_a_source_with_basis_and_confidence_for_every_value():
    assert set(device_names()) == {"memristor", "pcm", "stuck"}
    for name in device_names():
        device = load_device(name)
        assert device.name == name
        assert device.levels.src in device.sources
        dumped = device.model_dump()
        values = list(_sourced(dumped))
        assert len(values) >= 3
        assert all(v["src"] in dumped["sources"] and v["basis"] and v["conf"] for v in values)


def _sourced(value):
    if isinstance(value, dict):
        if "src" in value:
            yield value
        for inner in value.values():
            yield from _sourced(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _sourced(inner)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(RanvierError, match="RV550") as caught:
        load_device("flash")
    assert "memristor, pcm, stuck" in caught.value.diagnostics[0].fix


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(RanvierError, match="RV501"):
        load_device(tmp_path / "absent.toml")
    (tmp_path / "broken.toml").write_text("[")
    with pytest.raises(RanvierError, match="RV502"):
        load_device(tmp_path / "broken.toml")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('src = "hermes"', 'src = "nobody"', "unknown source 'nobody'"),
        ("bits = { v = 8", "bits = { v = 1", "converter.bits"),
        ("[timing]", "[timings]", "timing"),
        ('law = "power"', 'law = "exponential"', "needs tau_s, kept"),
        ('law = "power"', 'law = "cubic"', "drift.law"),
        ("exponent = { v = 0.65", "exponent = { v = 1.65", "read.exponent"),
        ("levels = { v = 0", "levels = { v = 1", "one level holds no weight"),
        ("after_s = { v = 0.0", "after_s = { v = 5.0", "spread begins after 0 s"),
        ("g_max_uS = { v = 25.0", "g_max_uS = { v = nan", "g_max_uS"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(before, after, said, tmp_path):
    assert before in PCM
    assert any(said in text for text in refused(PCM.replace(before, after, 1), tmp_path))


def test_all_problems_come_at_once(tmp_path):
    text = PCM.replace("bits = { v = 8", "bits = { v = 99").replace("t0_s = { v = 20.0", "t0_s = { v = -1.0")
    found = refused(text, tmp_path)
    assert any("converter.bits" in line for line in found)
    assert any("drift.t0_s" in line for line in found)
