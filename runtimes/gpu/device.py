# ruff: noqa: PLC0415 - torch is heavy, and absent where its extra is not installed
"""Where GPU kernels run: on a CUDA device, or in Triton's interpreter where ``TRITON_INTERPRET=1`` asks for it."""

import os
from dataclasses import dataclass
from importlib.util import find_spec

from ranvier.compiler.diagnostics import Diagnostic, RanvierError

PACKAGES = ("torch", "triton")
INTERPRET = "TRITON_INTERPRET"
FREE_SHARE = 0.5  # of the free memory that a piece of work may fill
INTERPRETED_BYTES = 2**26
NOTICE = Diagnostic(
    "RV834",
    "gpu",
    "torch finds no CUDA device: the program runs on the CPU simulator, with the same results",
    "run on a machine with an NVIDIA GPU and torch's CUDA build",
    "warning",
)


@dataclass(frozen=True)
class Device:
    """``name`` as torch takes it; ``interpreted`` says that kernels run in Triton's interpreter on the CPU."""

    name: str
    interpreted: bool

    @property
    def room(self) -> int:
        """Bytes that a piece of work may fill."""
        if self.interpreted:
            return INTERPRETED_BYTES
        import torch

        return int(FREE_SHARE * torch.cuda.mem_get_info()[0])


def find() -> Device | None:
    """The device that kernels run on, or None where there is no CUDA device.

    Raises ``RanvierError`` RV833 where torch or Triton is not installed.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        text = f"GPU kernels need {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        fix = "install ranvier[gpu], or choose the runtime simulator, which gives the same results"
        raise RanvierError(Diagnostic("RV833", "gpu", text, fix))
    if os.environ.get(INTERPRET) == "1":
        return Device("cpu", interpreted=True)
    import torch

    return Device("cuda", interpreted=False) if torch.cuda.is_available() else None
