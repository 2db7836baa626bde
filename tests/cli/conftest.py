"""Runs commands in this process, in a folder with small files."""

import sys
from pathlib import Path

import numpy as np
import pytest

from ranvier.api import compile  # noqa: A004
from ranvier.app import App
from ranvier.cli import main
from support.apps import small_data, small_network, write_nir
from support.commands import Ran, Run


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs ``ranvier`` with arguments in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def ranvier(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["ranvier", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ending:
            main()
        assert isinstance(ending.value.code, int)
        return Ran(ending.value.code, *capfd.readouterr())

    return ranvier


@pytest.fixture(scope="module")
def app() -> App:
    return compile(small_network(), calibrate=small_data()[0])


@pytest.fixture
def files(tmp_path: Path, app: App) -> Path:
    """A folder with net.nir, data.npz, static.npz and net.rnv."""
    x, y = small_data()
    write_nir(tmp_path / "net.nir")
    np.savez(tmp_path / "data.npz", inputs=x, labels=y)
    np.savez(tmp_path / "static.npz", inputs=x[:, 0])
    app.save(tmp_path / "net.rnv")
    return tmp_path
