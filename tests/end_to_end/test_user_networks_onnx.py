"""Networks as users write them, exported to ONNX by torch and read again: the same program, or the same spikes."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ranvier
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.network import Network
from ranvier.frontends.onnx import load_onnx
from ranvier.runtimes import reference
from support.onnx_files import export
from support.user_networks import case

pytest.importorskip("onnxscript")
pytestmark = pytest.mark.filterwarnings("ignore")
ALL = os.environ.get("HYPOTHESIS_PROFILE") == "all"
SAME_PROGRAM = ["SpikingJelly convolutions, average pools", "Norse SequentialState"] + ALL * [
    "snnTorch tutorial",
    "SpikingJelly convolutions",
    "Norse SequentialState, leak to 0.1",
    "Norse box and fire",
]
SAME_SPIKES = {
    "written by hand": "neurons have no names",
    "snnTorch recurrent": "a recurrent weight onto itself is part of the reset in the file",
    "SpikingJelly SEW blocks": "the exporter merges batch norms in float32, and writes a pool as a mean over axes",
    "SpikingJelly SEW blocks, soft reset": "as above",
}
"""What the files do not hold as the module had it. All but the first are run under HYPOTHESIS_PROFILE=all alone."""


def plain(network: Network) -> Network:
    """Without what says where a network comes from."""
    return replace(network, name="net", notes=())


def through_onnx(name: str, folder: Path) -> Network:
    """The network of one sample's export."""
    found = case(name)
    return load_onnx(export(found.module, (found.sample[:, :1],), folder / "net.onnx"), coding="spikes")


def artifact(network: Network, data: Any, path: Path) -> bytes:
    ranvier.compile(plain(network), "loihi2", data).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("name", SAME_PROGRAM)
def test_it_is_the_same_program_byte_for_byte(name: str, tmp_path: Path) -> None:
    data = case(name).data
    again = artifact(through_onnx(name, tmp_path), data, tmp_path / "again.rnv")
    assert again == artifact(case(name).network(), data, tmp_path / "first.rnv")


@pytest.mark.parametrize("name", list(SAME_SPIKES) if ALL else list(SAME_SPIKES)[:1])
def test_it_answers_as_the_module(name: str, tmp_path: Path) -> None:
    read = through_onnx(name, tmp_path)
    answers = reference.run(read, case(name).data, ("spikes",)).spikes[read.readout.node]
    np.testing.assert_array_equal(answers.reshape(case(name).answers.shape), case(name).answers)
    assert answers.any()


@pytest.mark.skipif(not ALL, reason="exports take long")
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RanvierError, match=r"body\.1.*refractory"):
        through_onnx("Norse refractory cells", tmp_path)
