# mypy: ignore-errors
# Not typed: it runs as a child.
"""The float frameworks on torch: the same graph with the neurons of each, layer by layer over all steps.

That order is the fastest that each of them has on a CPU: convolutions and products see steps and samples as one batch.
"""

import importlib
import importlib.util
import math
import sys

import numpy as np
import torch
from common import RefusedError, serve

CHUNK = 5_000_000
"""Values of the input and the neurons, over all steps, that one pass holds; more samples make more passes."""


class Norse:
    """Norse's cells, stepped; a membrane there takes (1 - keep) of its input, which the weights make up for."""

    def __init__(self, row):
        norse = importlib.import_module("norse.torch")
        self.keep, self.current = row["keep_membrane"], row["keep_current"]
        leak, threshold = 1.0 - self.keep, torch.tensor(row["threshold"])
        self.state = None
        if self.current:
            p = norse.LIFParameters(
                tau_syn_inv=torch.tensor((1 - self.current) / 1e-3), tau_mem_inv=torch.tensor(leak / 1e-3),
                v_th=threshold, v_reset=torch.tensor(0.0), v_leak=torch.tensor(0.0),
            )  # fmt: skip
            self.cell, self.factor = norse.LIFCell(p), row["gain"] / leak
        elif leak:
            p = norse.LIFBoxParameters(
                tau_mem_inv=torch.tensor(leak / 1e-3), v_th=threshold,
                v_reset=torch.tensor(0.0), v_leak=torch.tensor(0.0),
            )  # fmt: skip
            self.cell, self.factor = norse.LIFBoxCell(p), row["gain"] / leak
        else:
            self.cell, self.factor = norse.IAFCell(norse.IAFParameters(v_th=threshold)), row["gain"]

    def start(self):
        """Forget the state."""
        self.state = None

    def step(self, x):
        """Spikes of one step."""
        s, self.state = self.cell(x, self.state)
        return s


class SnnTorch:
    """snnTorch's Leaky and Synaptic with the reset in the step of the spike."""

    def __init__(self, row):
        snn = importlib.import_module("snntorch")
        self.factor = row["gain"]
        same = {"threshold": row["threshold"], "reset_mechanism": "zero", "reset_delay": False}
        self.synaptic = row["keep_current"] > 0
        if self.synaptic:
            self.cell = snn.Synaptic(alpha=row["keep_current"], beta=row["keep_membrane"], **same)
        else:
            self.cell = snn.Leaky(beta=row["keep_membrane"], **same)
        self.start()

    def start(self):
        """Forget the state."""
        self.state = tuple(torch.zeros(1) for _ in range(2 if self.synaptic else 1))

    def step(self, x):
        """Spikes of one step."""
        if self.state[0].shape != x.shape:
            self.state = tuple(torch.zeros_like(x) for _ in self.state)
        s, *state = self.cell(x, *self.state)
        self.state = tuple(state)
        return s


class SpikingJelly:
    """SpikingJelly's nodes, over all steps in one call where nothing is recurrent."""

    def __init__(self, row):
        node = importlib.import_module("spikingjelly.activation_based.neuron")
        self.factor = row["gain"]
        same = {"v_threshold": row["threshold"], "v_reset": 0.0}
        if row["keep_current"]:
            self.cell = node.CUBALIFNode(c_decay=row["keep_current"], v_decay=row["keep_membrane"], **same)
        elif row["keep_membrane"] == 1.0:
            self.cell = node.IFNode(**same)
        else:
            self.cell = node.LIFNode(tau=1 / (1 - row["keep_membrane"]), decay_input=False, **same)

    def start(self):
        """Forget the state."""
        self.cell.reset()

    def step(self, x):
        """Spikes of one step."""
        self.cell.step_mode = "s"
        return self.cell(x)

    def sequence(self, x):
        """Spikes of all steps (steps, samples, ...)."""
        self.cell.step_mode = "m"
        if x.is_cuda:
            self.cell.backend = self._fused()
        return self.cell(x)

    def _fused(self):
        """The first of its fused GPU backends that is installed, else plain torch."""
        there = [b for b in ("triton", "cupy") if b in self.cell.supported_backends and importlib.util.find_spec(b)]
        return there[0] if there else "torch"


class Sinabs:
    """Sinabs' layers, over all steps in one call where nothing is recurrent; tensors there: (samples, steps, ...)."""

    def __init__(self, row):
        layers, act = importlib.import_module("sinabs.layers"), importlib.import_module("sinabs.activation")
        self.factor = row["gain"]
        same = {"spike_threshold": row["threshold"], "spike_fn": act.SingleSpike, "reset_fn": act.MembraneReset()}
        if row["keep_membrane"] == 1.0 and not row["keep_current"]:
            self.cell = layers.IAF(**same)
            return
        synapse = -1 / math.log(row["keep_current"]) if row["keep_current"] else None
        self.factor /= row["keep_current"] or 1.0
        self.cell = layers.LIF(
            tau_mem=torch.tensor(-1 / math.log(row["keep_membrane"])) if row["keep_membrane"] < 1 else math.inf,
            tau_syn=None if synapse is None else torch.tensor(synapse), norm_input=False, **same,
        )  # fmt: skip

    def start(self):
        """Forget the state."""
        self.cell.reset_states()

    def step(self, x):
        """Spikes of one step."""
        return self.cell(x[:, None])[:, 0]

    def sequence(self, x):
        """Spikes of all steps (steps, samples, ...)."""
        return self.cell(x.transpose(0, 1)).transpose(0, 1)


KINDS = {"norse": Norse, "snntorch": SnnTorch, "spikingjelly": SpikingJelly, "sinabs": Sinabs}


class Neurons(torch.nn.Module):
    """One population: the framework's neurons, and what they send to themselves."""

    def __init__(self, kind, row, given):
        super().__init__()
        self.cell = KINDS[kind](row)
        self.loop = linear(row["recurrent"], given, self.cell.factor) if row["recurrent"] else None

    def forward(self, x):
        """Spikes (steps, samples, ...) for the input of the same shape."""
        self.cell.start()
        if self.loop is None and hasattr(self.cell, "sequence"):
            return self.cell.sequence(x)
        out, sent = torch.empty_like(x), torch.zeros_like(x[0])
        for t in range(x.shape[0]):
            sent = self.cell.step(x[t] if self.loop is None else x[t] + self.loop(sent))
            out[t] = sent
        return out


def linear(row, given, factor):
    """A dense layer or a convolution with its weights times ``factor``."""
    weight = torch.tensor(given.arrays[f"{row['name']}.weight"] * factor, dtype=torch.float32)
    bias = given.arrays.get(f"{row['name']}.bias")
    if row["kind"] == "conv":
        made = torch.nn.Conv2d(
            weight.shape[1] * row["groups"], weight.shape[0], tuple(weight.shape[2:]), tuple(row["stride"]),
            tuple(row["padding"]), groups=row["groups"], bias=bias is not None,
        )  # fmt: skip
    else:
        made = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    made.weight.data = weight
    if bias is not None:
        made.bias.data = torch.tensor(bias * factor, dtype=torch.float32)
    return made


def stateless(row, given, factor):
    """The module of a node without state."""
    if row["kind"] in ("dense", "conv"):
        return linear(row, given, factor)
    if row["kind"] == "pool":
        return torch.nn.AvgPool2d(
            tuple(row["kernel"]), tuple(row["stride"]), divisor_override=None if row["average"] else 1
        )
    if row["kind"] == "reshape":
        return torch.nn.Unflatten(1, tuple(row["shape"])) if len(row["shape"]) > 1 else torch.nn.Flatten()
    raise RefusedError(f"no module for a {row['kind']}")


class Graph:
    """The whole network; tensors are (steps, samples, ...)."""

    def __init__(self, given, job):
        torch.set_num_threads(job["threads"])
        torch.set_grad_enabled(False)
        self.device = job.get("device", "cpu")
        rows = given.described("graph")
        self.rows = {row["name"]: row for row in rows}
        self.width = sum(math.prod(row["shape"]) for row in rows if row["kind"] in ("neurons", "input"))
        modules = {row["name"]: Neurons(sys.argv[2], row, given) for row in rows if row["kind"] == "neurons"}
        self.last = {source: row["name"] for row in rows for source in row["sources"]}
        for row in rows:
            if row["kind"] not in ("neurons", "input"):
                factor = self._factor(row, modules) if row["kind"] in ("dense", "conv") else 1.0
                modules[row["name"]] = stateless(row, given, factor)
        self.modules = {name: module.eval().to(self.device) for name, module in modules.items()}

    def _factor(self, row, modules):
        """What the neurons behind a linear layer want its weights multiplied by."""
        factors = {modules[r["name"]].cell.factor for r in self.rows.values() if row["name"] in r["sources"]}
        if len(factors) != 1:
            raise RefusedError(f"{row['name']} feeds neurons of different gains")
        return factors.pop()

    def _pass(self, x, keep=None):
        """Everything for (steps, samples, ...); the last node's values. ``keep`` collects the neurons' spikes."""
        values, steps, samples = {}, *x.shape[:2]
        for name, row in self.rows.items():
            if row["kind"] == "input":
                values[name] = x
                continue
            total = values[row["sources"][0]]
            for source in row["sources"][1:]:
                total = total + values[source]
            if row["kind"] == "neurons":
                values[name] = self.modules[name](total)
                if keep is not None:
                    keep[name].append(values[name].transpose(0, 1).cpu().numpy().astype(np.int8))
            else:
                y = self.modules[name](total.flatten(0, 1))
                values[name] = y.unflatten(0, (steps, samples))
            for source in row["sources"]:
                if self.last[source] == name:
                    values.pop(source, None)
        return values[name]

    def record(self, frames):
        """Spikes of every population."""
        keep = {name: [] for name, row in self.rows.items() if row["kind"] == "neurons"}
        for chunk in self.load(frames):
            self._pass(chunk, keep)
        return {f"spikes:{name}": np.concatenate(parts) for name, parts in keep.items()}

    def load(self, frames):
        """Float tensors (steps, samples, ...), as many samples in each as one pass holds."""
        most = max(1, CHUNK // (frames.shape[1] * self.width))
        parts = [frames[i : i + most] for i in range(0, len(frames), most)]
        return [
            torch.tensor(part, dtype=torch.float32, device=self.device).transpose(0, 1).contiguous() for part in parts
        ]

    def run(self, chunks):
        """The spikes of the last layer, counted."""
        counts = [self._pass(chunk).sum(0) for chunk in chunks]
        if self.device != "cpu":
            torch.cuda.synchronize()
        return None if counts else 0.0


serve(Graph, (sys.argv[2], "torch", "numpy"))
