"""``ranvier export``: a NIR file, what its reader makes different, a refusal where it has to be portable; programs."""

import json
from pathlib import Path

import numpy as np

import ranvier
from ranvier.app import App
from ranvier.compiler.ir.text import equal
from support.apps import small_data, small_network
from support.byte_networks import device_program, speck_network, spikes, xylo_network
from support.commands import Run
from support.sanafe_files import recurrent


def test_a_model_becomes_a_nir_file_that_loads_without_options(run: Run, files: Path) -> None:
    given = ("export", files / "net.nir", "--dt", "1e-3", "--reset", "value", "--json")
    answer = run(*given, "-o", "out.nir")
    assert (answer.code, answer.json["notes"]) == (0, [])
    net = ranvier.load(files / "net.nir", dt=1e-3, reset="value")
    assert equal(ranvier.load("out.nir"), net)
    noted = run(*given, "-o", "sinabs.nir", "--reader", "sinabs")
    assert {note["code"] for note in noted.json["notes"]} == {"RV686"}
    refused = run(*given, "-o", "refused.nir", "--reader", "sinabs", "--portable")
    assert (refused.code, set(refused.codes)) == (1, {"RV686"})
    assert not Path("refused.nir").exists()
    assert run(*given, "-o", "x.h5").codes == ["RV680"]
    assert run(*given, "-o", "x.nir", "--file-dt", "0").codes == ["RV681"]


def test_a_program_becomes_the_files_of_other_programs(run: Run) -> None:
    app = ranvier.compile(small_network(), "loihi2", small_data(40)[0])
    app.save("small.rnv")
    answer = run("export", "small.rnv", "--nir", "placed.nir", "--json")
    assert (answer.code, answer.json["outputs"]) == (0, {"nir": "placed.nir"})
    assert {note["code"] for note in answer.json["notes"]} == {"RV465"}
    ranvier.open("placed.nir").save("again.rnv")
    assert Path("again.rnv").read_bytes() == Path("small.rnv").read_bytes()
    assert run("export", "small.rnv", "--json").json["outputs"] == {"nir": "small.nir"}
    assert run("inspect", "placed.nir", "--json").code == 0
    assert run("export", "small.rnv", "--xylo", "x.json", "--json").codes == ["RV461"]
    assert run("export", "small.rnv", "--dynapcnn", "x.json", "--json").codes == ["RV461"]
    assert not Path("x.json").exists()


def test_programs_for_xylo_and_speck(run: Run) -> None:
    xylo = device_program(xylo_network(1), "xylo_a2", spikes((8,), 1))
    speck = device_program(speck_network(0, max_spikes=1), "speck2f", spikes((2, 12, 12), 0))
    App(xylo).save("xylo.rnv")
    App(speck).save("speck.rnv")
    assert run("export", "xylo.rnv", "--xylo", "xylo.json", "--nir", "xylo.nir", "--json").code == 0
    assert json.loads(Path("xylo.json").read_text())["format"] == "ranvier.xylo"
    answer = run("export", "speck.rnv", "--dynapcnn", "speck.json", "--json")
    assert [note["code"] for note in answer.json["notes"]] == ["RV463"] * 3
    assert json.loads(Path("speck.json").read_text())["format"] == "ranvier.dynapcnn"


def test_options_that_mean_nothing_are_refused(run: Run, files: Path) -> None:
    ranvier.compile(small_network(), "loihi2", small_data(40)[0]).save("small.rnv")
    assert run("export", "small.rnv", "--preset", "spec", "--portable", "--json").codes == ["RV469", "RV469"]
    model = ("export", files / "net.nir", "--dt", "1e-3", "--reset", "value", "--json")
    assert run(*model, "--nir", "a.nir").codes == ["RV469"]


def test_a_program_for_loihi1_becomes_the_folder_of_sanafe(run: Run) -> None:
    program, target = recurrent(1, 20)
    App(program, target).save("chain.rnv")
    frames = (np.random.default_rng(0).random((3, 12, 30)) < 0.4).astype(np.uint8)
    np.savez("data.npz", inputs=frames)
    answer = run("export", "chain.rnv", "--sanafe", "fe", "--data", "data.npz", "--data-sample", "2", "--json")
    assert (answer.code, answer.json["outputs"]) == (0, {"sanafe": "fe"})
    text = Path("fe/network.yaml").read_text()
    wanted = [f"spikes: [{','.join(map(str, frames[2, :, n]))}]" for n in range(30)]
    assert all(row in text for row in wanted)
    assert Path("fe/architecture.yaml").read_text().startswith("architecture:\n  name: loihi1\n")
    assert run("export", "chain.rnv", "--sanafe", "silent", "--json").code == 0
    assert "{spikes:" not in Path("silent/network.yaml").read_text()
    given = ("export", "chain.rnv", "--data", "data.npz", "--json")
    assert run(*given).codes == ["RV450"]
    assert run(*given, "--sanafe", "fe", "--data-sample", "3").codes == ["RV450"]


def test_what_is_not_modelled_is_not_said_to_be_nothing(run: Run) -> None:
    x = spikes((8,), 1)
    App(device_program(xylo_network(1), "xylo_a2", x)).save("xylo.rnv")
    np.savez("data.npz", inputs=x)
    shown = run("simulate", "xylo.rnv", "data.npz").out
    assert shown.count("not modelled") > 1
    assert "energy: not modelled for xylo_a2" in shown
    assert "0 B" not in shown
    values = run("inspect", "xylo.rnv", "--json").json
    assert {layer["weight_bytes"] for layer in values["report"]["layers"]} == {None}
    page = run("report", "xylo.rnv", "--data", "data.npz", "--output", "page.html")
    assert page.code == 0
    text = Path("page.html").read_text()
    assert "Energy is not modelled for xylo_a2." in text
    assert '<td class="number">not modelled</td>' in text


def test_a_run_is_reported_beside_its_conventional_twin(run: Run) -> None:
    app = ranvier.compile(small_network(), "loihi2", small_data(40)[0])
    app.save("small.rnv")
    np.savez("data.npz", inputs=small_data(40)[0])
    answer = run("simulate", "small.rnv", "data.npz", "--json")
    twin = answer.json["energy"]["equivalent"]
    assert twin["ann"]["operations"] == app.report().synapses
    assert 0 < twin["rate"] < 1
    shown = run("simulate", "small.rnv", "data.npz").out
    assert all(part in shown for part in ("break-even spike rate", "MACs", "as a conventional network"))
    run("report", "small.rnv", "--data", "data.npz", "--output", "page.html")
    assert "break-even spike rate" in Path("page.html").read_text()
