"""Torch modules that the command line names as ``file.py:name``."""

from pathlib import Path

import pytest

from support.apps import INPUTS
from support.commands import Run


def test_json_is_alone_on_standard_output(run: Run, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("print('loud')\nnet = 3\n", encoding="utf-8")
    data = run("check", "loud.py:net", "--json")
    assert data.codes == ["RV616"]
    assert "loud" in data.err


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        ("net = 1 / 0", ":net", "RV615"),
        ("import nothing_of_this_name", ":net", "RV615"),
        ("def net(): raise ValueError('x')", ":net", "RV615"),
        ("net = 3", ":net", "RV616"),
        ("", ":net", "RV616"),
        ("net = 3", "", "RV614"),
        ("(", ":net", "RV615"),
        ("import sys; sys.exit(0)", ":net", "RV615"),
    ],
)
def test_python_files_that_hold_no_module(run: Run, tmp_path: Path, content: str, name: str, code: str) -> None:
    (tmp_path / "model.py").write_text(content + "\n", encoding="utf-8")
    data = run("check", f"model.py{name}", "--json")
    assert (data.code, data.codes) == (1, [code])
    if code == "RV615":
        assert "model.py:1" in data.json["diagnostics"][0]["place"]


def test_a_python_file_that_is_not_there(run: Run) -> None:
    assert run("check", "absent.py:net", "--json").codes == ["RV613"]


def test_a_module_in_a_python_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "weights.py").write_text("BETA = 0.5\n", encoding="utf-8")
    (tmp_path / "model.py").write_text(
        "import torch, snntorch\nfrom torch import nn\nfrom weights import BETA\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.fc, self.lif = nn.Linear(6, 3), snntorch.Leaky(beta=BETA, reset_mechanism='zero')\n"
        "    def forward(self, x):\n"
        "        mem, out = self.lif.reset_mem(), []\n"
        "        for t in range(x.shape[0]):\n"
        "            spk, mem = self.lif(self.fc(x[t]), mem)\n"
        "            out.append(spk)\n"
        "        return torch.stack(out)\n"
        "def trained():\n"
        "    torch.manual_seed(0)\n"
        "    return Net()\n"
        "net = trained()\n",
        encoding="utf-8",
    )
    for name in ("Net", "trained", "net"):
        done = run("check", f"{tmp_path / 'model.py'}:{name}", "--sample", f"8,1,{INPUTS}", "--json")
        assert done.code == 0, done.out
        assert done.json["neurons"] == 3
    assert run("check", "model.py:net", "--json").codes == ["RV601"]
