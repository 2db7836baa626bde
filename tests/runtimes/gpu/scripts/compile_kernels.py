"""Compiles for NVIDIA GPUs, on a machine without one, every kernel that some networks launch; prints what came out.

Run without TRITON_INTERPRET. One JSON line: name, size in bytes and use of tensor cores of every kernel.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

sys.path.insert(0, str(Path(__file__).parents[3]))

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.runtimes.gpu import kernels
from ranvier.runtimes.gpu.network import upload
from ranvier.runtimes.gpu.piece import Piece, Size
from ranvier.runtimes.gpu.routes import routes
from ranvier.runtimes.simulator.plan import lower
from support.gpu_networks import conv, dense, single, sparse

POINTERS = {torch.int8: "*i8", torch.int16: "*i16", torch.int32: "*i32", torch.int64: "*i64"}
TENSOR_CORES = ("wgmma.mma", "mma.sync")
CASES = [
    (single(dense(-128, 127, 40, 64, scale=2)), ()),
    (single(dense(-2000, 2000, 40, 64)), ("in",)),
    (single(dense(-(2**30), 2**30, 40, 64), bits=12, exponent=3), ()),
    (single(conv(-128, 127, ((4, 7, 6), (8, 5, 5))), exponent=-2), ()),
    (single(sparse(-(2**30), 2**30, 20, 30), bits=8), ()),
]


class Compiling:
    """Stands for ``kernel``: a launch compiles it for ``target`` and calls ``made`` with its name and code."""

    def __init__(self, kernel: Any, target: GPUTarget, made: Callable[[str, Any], None]) -> None:
        self.kernel, self.target, self.made = kernel, target, made

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return self.launch

    def launch(self, *args: Any, num_warps: int = 4, enable_fp_fusion: bool = True, **named: Any) -> None:
        given = dict(zip(self.kernel.arg_names, args, strict=False)) | named
        assert list(given) == self.kernel.arg_names
        constant = {p.name for p in self.kernel.params if p.is_constexpr}
        signature = {
            name: "constexpr" if name in constant else POINTERS.get(getattr(value, "dtype", None), "i32")
            for name, value in given.items()
        }
        constants = {(self.kernel.arg_names.index(name),): given[name] for name in constant}
        source = ASTSource(fn=self.kernel, signature=signature, constexprs=constants, attrs={})
        options = {"num_warps": num_warps, "enable_fp_fusion": enable_fp_fusion}
        self.made(self.kernel.__name__, triton.compile(source, target=self.target, options=options).asm)


def compiled(chip: ChipNetwork, listed: tuple[str, ...], target: GPUTarget, made: Callable[[str, Any], None]) -> None:
    """Compile what a run of ``chip`` launches."""
    plan = lower(chip)
    network = upload(plan, routes(chip, plan), "cpu")
    populations = {n: replace(p, kernel=Compiling(p.kernel, target, made)) for n, p in network.populations.items()}
    piece = Piece(replace(network, populations=populations), Size(2, 3, 3), ("states", "membrane"), frozenset(listed))
    frames = torch.zeros((2, 3, piece.frames.shape[2]), dtype=network.port).numpy()
    piece.run(frames)


def main(capability: int) -> None:
    """Compile everything for GPUs of ``capability``."""
    target, found = GPUTarget("cuda", capability, 32), []

    def made(name: str, asm: Any) -> None:
        found.append((name, len(asm["cubin"]), any(word in asm["ptx"] for word in TENSOR_CORES)))

    originals = {name: getattr(kernels, name) for name in ("product", "gather", "listing", "scatter")}
    for name, kernel in originals.items():
        setattr(kernels, name, Compiling(kernel, target, made))
    for chip, listed in CASES:
        compiled(chip, listed, target, made)
    sys.stdout.write(json.dumps(found))


main(int(sys.argv[1]))
