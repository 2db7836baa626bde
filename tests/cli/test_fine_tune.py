"""``ranvier fine-tune``: what is said, what is written, and what is refused."""

import pytest

import ranvier
from support.apps import small_data
from support.commands import Run


@pytest.mark.usefixtures("files")
def test_a_program_is_taught_and_written(run: Run) -> None:
    answer = run("fine-tune", "net.rnv", "data.npz", "--epochs", "2", "--held-out", "0.5", "-o", "tuned.rnv")
    assert answer.code == 0
    for text in ("learnt from 6 samples, judged on 6 others", "right answers:", "loss:", "wrote tuned.rnv"):
        assert text in answer.out
    before, after = (ranvier.open(name).run(small_data()[0]) for name in ("net.rnv", "tuned.rnv"))
    assert after.outputs.shape == before.outputs.shape


@pytest.mark.usefixtures("files")
def test_without_output_the_program_that_was_given_stays(run: Run) -> None:
    found = run("fine-tune", "net.rnv", "data.npz", "--epochs", "1", "--trained", "threshold, bias", "--json").json
    assert found["output"] == "net.tuned.rnv"
    assert found["labels"] is True
    assert (found["learnt_from"], found["kept_apart"]) == (10, 2)
    assert len(found["history"]) == 2
    assert found["history"][found["epoch"]]["loss"] <= found["history"][0]["loss"]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("options", "code"),
    [(("--rate", "2"), "RV410"), (("--held-out", "0.01"), "RV411"), (("--trained", "colour"), "RV860")],
)
def test_bad_settings_are_refused(run: Run, options: tuple[str, ...], code: str) -> None:
    assert run("fine-tune", "net.rnv", "data.npz", *options, "--json").codes == [code]
