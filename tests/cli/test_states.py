"""``ranvier states``: the tables, the JSON, and what is refused."""

import pytest

from support.commands import Run


@pytest.mark.usefixtures("files")
def test_states_with_data(run: Run) -> None:
    answer = run("states", "net.rnv", "data.npz")
    assert answer.code == 0
    for text in ("register", "proved", "fitted", "state memory", "0 of", "without states between steps", "accuracy"):
        assert text in answer.out
    found = run("states", "net.rnv", "data.npz", "--json").json["states"]
    assert found["verified"]["fitted"]["differing"] == 0
    assert found["kib"]["fitted"] <= found["kib"]["measured"] <= found["kib"]["proved"] <= found["kib"]["register"]
    (layer,) = found["layers"]
    assert {state["name"] for state in layer["states"]} == {"u", "v"}
    assert found["kib"]["register"] == layer["neurons"] * 48 / 8 / 1024
    assert len(found["elisions"]) == 1


@pytest.mark.usefixtures("files")
def test_states_without_data_shows_the_proof(run: Run) -> None:
    found = run("states", "net.rnv", "--json").json["states"]
    assert found["kib"]["proved"] is not None
    assert found["kib"]["fitted"] is None
    assert "elisions" not in found
    assert "-" in run("states", "net.rnv").out


@pytest.mark.usefixtures("files")
def test_a_program_without_states_is_written(run: Run) -> None:
    assert "wrote small.rnv" in run("states", "net.rnv", "--elide", "out", "-o", "small.rnv").out
    (layer,) = run("states", "small.rnv", "--json").json["states"]["layers"]
    assert layer["elided"] is True
    assert "RV852" in run("inspect", "small.rnv").out


@pytest.mark.usefixtures("files")
def test_an_unknown_layer_is_refused(run: Run) -> None:
    assert run("states", "net.rnv", "data.npz", "--elide", "hidden", "--json").codes == ["RV850"]
