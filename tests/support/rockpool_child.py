"""The child process of ``rockpool_environment.py``: runs where Rockpool is installed, and is started by file name."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules import LIFTorch, LinearTorch
from rockpool.parameters import Constant

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.text import dump
from ranvier.frontends.torch.load import load_torch

BATCH, NEURONS = 4, 6


def stimulus(random: np.random.Generator, steps: int, width: int, scale: float) -> torch.Tensor:
    """Noise of either sign, strong drive, silence after an impulse, inhibition: (batch, steps, width)."""
    x = random.normal(0.1, 0.5, (BATCH, steps, width)) * scale
    x[:, 20:24] += 1.5 * scale
    x[:, 28:38] = 0.0
    x[:, 29] = 2.0 * scale
    x[:, 44:47] -= 2.0 * scale
    return torch.tensor(x, dtype=torch.float32)


def neurons(width: int, random: np.random.Generator, options: dict[str, Any]) -> LIFTorch:
    """LIFTorch with random parameters, in the leak mode and with the options of the case."""
    mode, synapses = options.get("leak_mode", "taus"), options.get("synapses", 1)
    leaks: dict[str, Any] = {
        "taus": lambda: {
            "tau_mem": random.uniform(2e-3, 4e-2, width),
            "tau_syn": random.uniform(2e-3, 2e-2, (width, synapses)),
        },
        "decays": lambda: {
            "alpha": random.uniform(0.3, 0.99, width),
            "beta": random.uniform(0.2, 0.95, (width, synapses)),
        },
        "bitshifts": lambda: {
            "dash_mem": random.integers(1, 6, width).astype(float),
            "dash_syn": random.integers(1, 5, (width, synapses)).astype(float),
        },
    }[mode]()
    leaks = {name: Constant(torch.tensor(value, dtype=torch.float32)) for name, value in leaks.items()}
    recurrent = bool(options.get("recurrent", False))
    weights = {"w_rec": torch.tensor(random.normal(0, 0.15, (width, width)), dtype=torch.float32)} if recurrent else {}
    return LIFTorch(
        shape=(width * synapses, width),
        leak_mode=mode,
        **leaks,
        **weights,
        has_rec=recurrent,
        bias=torch.tensor(random.normal(0, 0.02, width), dtype=torch.float32),
        threshold=torch.tensor(random.uniform(0.5, 1.5, width), dtype=torch.float32),
        noise_std=options.get("noise", 0.0),
        max_spikes_per_dt=torch.tensor(float(options.get("most", 2**16))),
        dt=1e-3,
    )


def build(case: dict[str, Any]) -> tuple[Any, torch.Tensor]:
    """The module of a case, and its sample."""
    random = np.random.default_rng(case["seed"])
    torch.manual_seed(case["seed"])
    if case["kind"] == "single":
        width = NEURONS * case.get("synapses", 1)
        return neurons(NEURONS, random, case), stimulus(random, 60, width, case["scale"])
    module = Sequential(
        LinearTorch((8, 12), has_bias=bool(case["seed"] % 2)),
        neurons(12, random, {"most": 1}),
        LinearTorch((12, 5)),
        neurons(5, random, {"recurrent": True, "most": 1}),
    )
    return module, torch.tensor((random.random((BATCH, 40, 8)) < 0.4) * 1.0, dtype=torch.float32)


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """Inputs, the module's spikes, and the network that was imported; or the codes of the refusal."""
    module, x = build(case)
    generator = torch.get_rng_state()
    before = {name: value.detach().clone() for name, value in module.state_dict().items()}
    found: dict[str, Any] = {"x": x.numpy(), "codes": "", "text": ""}
    try:
        text, tensors = dump(load_torch(module, sample=x))
        found |= {"text": text, **{f"tensor:{name}": value for name, value in tensors.items()}}
    except RanvierError as problem:
        found["codes"] = " ".join(diagnostic.code for diagnostic in problem.diagnostics)
    assert torch.equal(torch.get_rng_state(), generator), "random numbers were drawn"
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items()), "the module changed"
    with torch.no_grad():
        return found | {"spikes": module(x)[0].numpy().astype(np.float64)}


if __name__ == "__main__":
    cases = json.loads(Path(sys.argv[1]).read_text())
    np.savez(
        sys.argv[2], **{f"{i}/{name}": value for i, case in enumerate(cases) for name, value in answer(case).items()}
    )
