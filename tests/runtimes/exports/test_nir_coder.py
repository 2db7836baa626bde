"""Input coders in NIR files: other programs do not see them, which is noted; Ranvier reads them back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ranvier import encode
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.text import equal
from ranvier.frontends.nir import load_nir
from ranvier.runtimes.exports.nir import READERS, export_nir


def network() -> Network:
    nodes = (Input("x", (3,), "spikes"), Dense("fc", np.eye(3)), Neurons("lif", (3,), Lif()))
    return Network("coded", nodes, (Edge("x", "fc"), Edge("fc", "lif")), Readout("lif"))


def coded() -> Network:
    plain = network()
    return replace(plain, nodes=(replace(plain.inputs[0], encoder=encode.Rate(steps=8, seed=5)), *plain.nodes[1:]))


@pytest.mark.parametrize("reader", sorted(READERS))
def test_a_coder_is_kept_for_ranvier_and_noted_for_others(reader: str, tmp_path: Path) -> None:
    notes = export_nir(coded(), tmp_path / "net.nir", reader=reader)
    assert [(n.code, n.place) for n in notes if "coder" in n.text] == [("RV687", "x")]
    assert "Rate stands in the metadata" in next(n.text for n in notes if n.place == "x")
    assert equal(load_nir(tmp_path / "net.nir"), coded())


def test_without_a_coder_there_is_nothing_to_note(tmp_path: Path) -> None:
    assert not [n for n in export_nir(network(), tmp_path / "net.nir") if n.place == "x"]
