"""Ranvier's own torch modules: quantized events, which are neurons, and products over time (``incremental.py``)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from ranvier.compiler.ir.arrays import Shape, floats
from ranvier.compiler.ir.neurons import Quantizer
from ranvier.frontends.torch.adapters import Adapter, Described


def _quantizer(module: nn.Module, _name: str, _shape: Shape) -> Described:
    m: Any = module
    model = Quantizer(step=floats(m.scale), message_bits=m.bits)
    return Described(model, None, None, np.array(1.0), shows_reset=False)


TABLE: Mapping[str, Adapter] = {
    "ranvier.frontends.torch.modules.EventQuantizer": Adapter((), ("spk",), _quantizer),
}
PRODUCT = "IncrementalMatMul"
