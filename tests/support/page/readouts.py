"""How answers are read out of torch modules, and of ONNX files of them, for docs/support.md."""

from collections.abc import Callable, Mapping
from typing import Any

import snntorch as snn
import torch
from torch import nn

from ranvier.frontends.torch.load import load_torch
from support.page.page import TARGETS, Page, neurons_alone

TEXT = (
    "What a module returns, or an ONNX file of it. A last layer without neurons becomes a population that keeps "
    "nothing and never fires, `<layer>.membrane`. Where membranes of all steps are returned, `readout=` says how they "
    "are read."
)
Returned = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
READ: Mapping[str, Returned] = {
    "spikes of all steps, their sum or mean": lambda spikes, _m, _y: spikes.mean(0),
    "membranes, the last": lambda _s, membranes, _y: membranes[-1],
    "membranes, the largest": lambda _s, membranes, _y: membranes.max(0)[0],
    "membranes, their sum or mean": lambda _s, membranes, _y: membranes.sum(0),
    "a layer behind the last spikes, its last values": lambda _s, _m, values: values[-1],
    "a layer behind the last spikes, its largest values": lambda _s, _m, values: values.max(0)[0],
    "a layer behind the last spikes, its sum or mean": lambda _s, _m, values: values.mean(0),
}


class Answering(nn.Module):
    """Spikes, membranes and the values of a last layer, all of which a readout may take."""

    def __init__(self, returned: Returned) -> None:
        super().__init__()
        self.first, self.last = snn.Leaky(beta=1.0, reset_mechanism="zero"), nn.Linear(3, 2, bias=False)
        self.integrator, self.returned = snn.Leaky(beta=1.0, reset_mechanism="none"), returned
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([[0.5, -0.5, 1.0], [1.0, 0.5, -0.5]]))

    def forward(self, x: torch.Tensor) -> Any:
        mem, out, shown = self.first.init_leaky(), self.integrator.init_leaky(), []
        for frame in x:
            spikes, mem = self.first(frame, mem)
            value = self.last(spikes)
            _, out = self.integrator(value, out)
            shown.append((spikes, out, value))
        return self.returned(*(torch.stack(part) for part in zip(*shown, strict=True)))


def readouts(page: Page) -> None:
    """One row per way to return an answer."""
    rows = []
    for what, returned in READ.items():
        network = load_torch(Answering(returned), sample=(torch.rand(6, 2, 3) < 0.5).float())
        rows.append([what, network.readout.kind, *page.on_targets(network, neurons_alone)])
    page.section("### Readouts", TEXT, ["returned", "readout", *TARGETS], rows)
