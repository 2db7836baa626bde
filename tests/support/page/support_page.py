"""docs/support.md: every class that a frontend's tables know, imported and asked for on every target.

``make docs`` writes the page, a test compares it. Numbers in the examples are such as training leaves them (a decay of
0.9), except for the weights in front of neurons, so that a neuron's row shows its own roundings alone.
"""

import tempfile
from pathlib import Path
from textwrap import fill

import torch

from ranvier.frontends.conversion.onnx_model import READERS
from ranvier.frontends.onnx.evaluate import KNOWN
from ranvier.standing import standing_table
from support.page.files import file_layers, nir_neurons, slayer_neurons
from support.page.frameworks import frameworks, hand_written
from support.page.layer_rows import topology_rows, torch_layers
from support.page.page import WIDTH, Page
from support.page.readouts import readouts

KINDS = """## Kinds of neurons

One of each kind in the intermediate representation, with numbers that registers hold.

"""

OPERATORS = {
    "Of spiking networks, exported unrolled, as Scan or as a single step": sorted(KNOWN),
    "Of conventional networks, which are converted": READERS,
    "Activations that are converted, in torch modules and in ONNX files": (
        "ReLU", "clipped ReLU (ReLU6, Hardtanh, Clip)", "quantized ReLU (QCFS), in files found around Floor or Round",
    ),
}  # fmt: skip


def support_page() -> str:
    """The text of docs/support.md."""
    return written().text()


def written() -> Page:
    """The page with everything but the ways out."""
    page = Page()
    page.parts.append(KINDS + standing_table())
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        frameworks(page)
        nir_neurons(page, Path(folder))
        slayer_neurons(page, Path(folder))
        hand_written(page)
        torch_layers(page)
        file_layers(page, Path(folder))
        topology_rows(page)
        readouts(page)
    said = [fill(f"{what}: {', '.join(names)}.", WIDTH) for what, names in OPERATORS.items()]
    page.parts.append("### ONNX operators and conversion\n\n" + "\n\n".join(said) + "\n")
    return page
