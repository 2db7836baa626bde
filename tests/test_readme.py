"""The README says what the code does."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import ranvier
from ranvier.support import support_rows, support_table
from support.data import test_data

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_support_table_is_the_codes_own() -> None:
    (shown,) = re.findall(r"<!-- support -->\n(.*?)<!-- /support -->", README, re.DOTALL)
    assert shown == support_table()


def test_every_row_names_something() -> None:
    assert all(all(cell for cell in row) for row in support_rows())


def test_every_folder_of_the_table_exists() -> None:
    table = README.split("## The folders")[1]
    folders = re.findall(r"^\| `([\w/]+)/` \|", table, re.MULTILINE)
    assert len(folders) >= 9
    assert all((Path(__file__).parents[1] / folder).is_dir() for folder in folders)


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copy(test_data("nir_paper", "cnn_sinabs.nir"), tmp_path / "cnn.nir")
    data = ranvier.load_data(test_data("nmnist", "nmnist_test100.npz"), bin_us=1000, steps=60)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"x": data.inputs[:4], "y": None if data.labels is None else data.labels[:4]}
    exec(compile(code, "README.md", "exec"), names)
    assert names["rep"].agrees
    assert (tmp_path / "cnn.rnv").is_file()
    assert (tmp_path / "cnn_lava").is_dir()
