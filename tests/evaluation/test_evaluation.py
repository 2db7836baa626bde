"""Whole data sets: the same answer on every engine, after interruptions, and with damaged leftovers."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import ranvier
from ranvier.app import App
from ranvier.compiler.diagnostics import RanvierError
from ranvier.evaluation import Evaluation, evaluate
from ranvier.evaluation import shards as shards_module
from ranvier.evaluation.shards import Kept, run_shard, shard_size, shards
from ranvier.examples.digits.network import data, network

STEPS = 6
Frames = NDArray[np.float32]


@pytest.fixture(scope="module")
def app() -> App:
    return ranvier.compile(network(), "loihi2", shown(data("calibration")["inputs"]))


@pytest.fixture(scope="module")
def images() -> Frames:
    return shown(data("test")["inputs"][:90])


@pytest.fixture(scope="module")
def labels() -> NDArray[np.int64]:
    return data("test")["labels"][:90].astype(np.int64)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "MOST_SAMPLES", 16)


def shown(images: NDArray[np.generic]) -> Frames:
    return np.repeat(np.asarray(images, np.float32)[:, None], STEPS, axis=1)


def assert_equals_one_run(found: Evaluation, app: App, images: Frames, labels: NDArray[np.int64]) -> None:
    whole = app.run(images)
    np.testing.assert_array_equal(found.predictions, whole.predictions)
    assert found.layers == whole.stats
    assert found.accuracy == np.mean(whole.predictions == labels)
    assert found.confusion is not None
    assert found.confusion.sum() == len(images)
    assert found.confusion.trace() == (whole.predictions == labels).sum()
    assert found.complete


@pytest.mark.parametrize("engine", ["local", "dask://", "ray://"])
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_every_engine_gives_what_one_run_gives(
    engine: str, app: App, images: Frames, labels: NDArray[np.int64], tmp_path: Path
) -> None:
    found = evaluate(app, images, labels, engine=engine, workers=2, folder=tmp_path / "kept")
    assert_equals_one_run(found, app, images, labels)
    assert not (tmp_path / "kept").exists()


def test_an_interrupted_evaluation_keeps_its_part_and_goes_on(
    app: App, images: Frames, labels: NDArray[np.int64], tmp_path: Path
) -> None:
    def stop_at_half(done: int, total: int) -> None:
        if done >= total // 2:
            raise KeyboardInterrupt

    part = evaluate(app, images, labels, workers=1, progress=stop_at_half, folder=tmp_path)
    assert 45 <= part.done < 90
    assert not part.complete
    done = part.predictions >= 0
    assert part.accuracy == np.mean(part.predictions[done] == labels[done])
    again = evaluate(app, images, labels, workers=1, folder=tmp_path)
    assert again.resumed == part.done
    assert_equals_one_run(again, app, images, labels)


def test_other_data_or_programs_never_share_results(
    app: App, images: Frames, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))
    monkeypatch.setattr(Kept, "drop", lambda _self: None)
    evaluate(app, images, workers=1)
    changed = images.copy()
    changed[0, 0, 0, 0, 0] += 0.5
    assert evaluate(app, changed, workers=1).resumed == 0
    narrow = ranvier.compile(network(), "loihi2", images, weight_bits=4)
    assert evaluate(narrow, images, workers=1).resumed == 0
    assert evaluate(app, images, workers=1).resumed == 90


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"start": 0}', "null", "\x00"])
def test_damaged_leftovers_are_done_again(
    damage: str, app: App, images: Frames, labels: NDArray[np.int64], tmp_path: Path
) -> None:
    (tmp_path / "shard-0.json").write_text(damage)
    assert_equals_one_run(evaluate(app, images, labels, workers=1, folder=tmp_path), app, images, labels)


def test_a_kept_result_of_another_size_is_done_again(app: App, images: Frames, tmp_path: Path) -> None:
    app.save(tmp_path / "program.rnv")
    kept = Kept(tmp_path)
    kept.keep(run_shard((tmp_path / "program.rnv").read_bytes(), images[:8], 0))
    assert kept.found(0, 8) is not None
    assert kept.found(0, 16) is None


def test_sample_numbers_of_overflows_are_those_of_the_data_set(tmp_path: Path, app: App, images: Frames) -> None:
    loud = images.copy()
    loud[40:] *= 1000.0
    app.save(tmp_path / "program.rnv")
    found = evaluate(app, loud, workers=1, folder=tmp_path / "kept")
    whole = app.run(loud)
    expected = {(e.population, e.count, e.sample, e.step) for e in whole.overflows}
    assert {(o.population, o.count, o.sample, o.step) for o in found.overflows} == expected


@pytest.mark.parametrize(
    ("engine", "workers", "code"),
    [
        ("slurm://a", 1, "RV870"),
        ("dask", 1, "RV870"),
        ("local://x", 1, "RV870"),
        ("local", 0, "RV873"),
        ("dask://127.0.0.1:1", 1, "RV872"),
    ],
)
def test_engines_that_mean_nothing_or_do_not_answer(
    engine: str, workers: int, code: str, app: App, images: Frames, tmp_path: Path
) -> None:
    with pytest.raises(RanvierError) as refused:
        evaluate(app, images, engine=engine, workers=workers, folder=tmp_path)
    assert refused.value.diagnostics[0].code == code


def test_shards_cover_all_samples_once_whatever_the_number_of_workers() -> None:
    for samples in (1, 5, 16, 17, 1000):
        parts = shards(samples, shard_size(2**22, samples))
        assert [n for part in parts for n in part] == list(range(samples))
        assert max(map(len, parts)) <= 8


def test_the_verb_answers_with_accuracy_and_confusion(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ranvier.cli.main import application  # noqa: PLC0415 as the process would

    app.save(tmp_path / "digits.rnv")
    np.savez(tmp_path / "data.npz", inputs=shown(data("test")["inputs"][:20]), labels=data("test")["labels"][:20])
    arguments = ["evaluate", str(tmp_path / "digits.rnv"), str(tmp_path / "data.npz"), "--workers", "1", "--json"]
    with pytest.raises(SystemExit) as ended:
        application()(arguments)
    answer = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert answer["done"] == 20
    assert sum(map(sum, answer["confusion"])) == 20
