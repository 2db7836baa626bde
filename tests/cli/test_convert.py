"""``ranvier convert``: a torch module in a file becomes a program, with its accuracy by steps."""

from pathlib import Path

import numpy as np
import pytest

from support.commands import Run

MODEL = (
    "import torch\nfrom torch import nn\n"
    "def net():\n"
    "    torch.manual_seed(0)\n"
    "    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))\n"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with net.py, and data.npz labelled by the module itself."""
    import torch  # noqa: PLC0415 - slow

    (tmp_path / "net.py").write_text(MODEL, encoding="utf-8")
    made: dict[str, object] = {}
    exec(MODEL, made)
    x = np.random.default_rng(0).random((60, 6)).astype(np.float32)
    with torch.no_grad():
        labels = made["net"]()(torch.as_tensor(x)).argmax(1).numpy()  # type: ignore[operator]
    np.savez(tmp_path / "data.npz", inputs=x, labels=labels)
    np.savez(tmp_path / "plain.npz", inputs=x)
    return tmp_path


@pytest.mark.usefixtures("model")
def test_convert_writes_a_program_and_measures_it(run: Run, tmp_path: Path) -> None:
    words = ("convert", "net.py:net", "--calibrate", "plain.npz", "--data", "data.npz", "--least", "0.8", "-o", "o.rnv")
    done = run(*words, "--json")
    assert done.code == 0, done.out
    by_steps = done.json["accuracy_by_steps"]["deployed"]
    assert list(by_steps) == ["4", "8", "16", "32", "64"]
    assert by_steps["64"] >= 0.9
    assert done.json["fewest_steps"] in (4, 8, 16, 32, 64)
    assert (tmp_path / "o.rnv").is_file()
    text = run(*words)
    assert "accuracy by steps" in text.out
    assert "steps are enough" in text.out
    assert run("inspect", "o.rnv").code == 0


@pytest.mark.usefixtures("model")
def test_convert_refuses_what_cannot_be_known(run: Run) -> None:
    assert run("convert", "net.py:net", "--json").codes == ["RV664"]
    assert run("convert", "net.py:net", "--calibrate", "plain.npz", "--data", "plain.npz", "--json").codes == ["RV674"]
    unreachable = ("--data", "data.npz", "--least", "1.01")
    assert run("convert", "net.py:net", "--calibrate", "plain.npz", *unreachable, "--json").codes == ["RV675"]


@pytest.mark.usefixtures("model")
def test_convert_puts_the_coder_at_the_input(run: Run) -> None:
    words = ("convert", "net.py:net", "--calibrate", "plain.npz", "--steps", 48, "-o", "o.rnv")
    for given, wanted in (
        ((), {"coder": "direct", "steps": 48}),
        (("--encode", "rate", "--seed", 2), {"coder": "rate", "steps": 48, "seed": 2}),
    ):
        done = run(*words, *given, "--data", "data.npz", "--json")
        assert done.code == 0, done.out
        assert run("inspect", "o.rnv", "--json").json["input"]["encoder"] == wanted
        ran = run("simulate", "o.rnv", "data.npz", "--json").json
        assert ran["steps"] == 48
        assert ran["accuracy"] >= (0.9 if not given else 0.6)
