"""The example of the page on own neurons runs, and the page shows it as it is."""

from pathlib import Path

import numpy as np
import torch

import ranvier
from ranvier.examples.own_neuron.network import Net, imported
from ranvier.runtimes.reference import run

ROOT = Path(__file__).parents[2]


def test_the_example_is_imported_exactly_and_compiled() -> None:
    torch.manual_seed(0)
    model, x = Net(), torch.randn(60, 5, 12) * 4
    network = imported(model)
    with torch.no_grad():
        expected = model(x).numpy().swapaxes(0, 1)
    assert np.array_equal(run(network, x.numpy().swapaxes(0, 1)).outputs, expected)
    assert expected.any()
    data = x.numpy().swapaxes(0, 1)
    assert ranvier.compile(network, target="loihi2", calibrate=data).run(data).outputs.shape == expected.shape


def test_the_page_shows_the_example() -> None:
    page = (ROOT / "docs" / "own_neurons.md").read_text()
    code = (ROOT / "examples" / "own_neuron" / "network.py").read_text()
    shown = page.split("```python\n")[1].split("```")[0]
    assert shown.strip() in code
    assert len(shown.strip().splitlines()) <= 15
