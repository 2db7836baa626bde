"""Compiled step programs: machine code as files in a cache folder, so that it outlives the process."""

import ctypes
import hashlib
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from llvmlite import binding

from ranvier.compiler.ir.steps import StepProgram
from ranvier.runtimes.cache import cache_folder
from ranvier.runtimes.simulator.emit import FRAME, module
from ranvier.runtimes.simulator.ranges import Traits

Frame = Mapping[str, int]
Fields = ctypes.Array[ctypes.c_int64]
WIDEST = (("avx512f", 512), ("avx2", 256))


class Kernel:
    """The machine code of one step program at the addresses ``plain`` and ``fully``; ``owner`` keeps it in memory."""

    def __init__(self, owner: Any, plain: int, fully: int) -> None:
        self.owner, self.plain, self.fully = owner, plain, fully

    def __call__(self, frame: Fields, *, fully: bool = False) -> bool:
        """Run a block of steps; whether anything was lost."""
        run = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 4)(self.fully if fully else self.plain)
        return bool(run(ctypes.addressof(frame), None, None, None))


def fields(frame: Frame) -> Fields:
    """``frame`` as a kernel takes it: 64-bit fields in the order of ``emit.FRAME``, 0 where none is given."""
    return (ctypes.c_int64 * len(FRAME))(*(frame.get(name, 0) for name in FRAME))


@cache
def kernel(program: StepProgram, traits: Traits) -> Kernel:
    """The machine code of ``program``: loaded where this machine has compiled it before."""
    text = module(program, traits, _registers())
    digest = hashlib.sha256(f"{binding.llvm_version_info} {_machine_name()}\n{text}".encode()).hexdigest()
    path = cache_folder() / "kernels" / f"{digest}.o"
    code = path.read_bytes() if path.is_file() else store(_compiled(text), path)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return Kernel(engine, engine.get_function_address("advance"), engine.get_function_address("advance_fully"))


def store(code: bytes, path: Path) -> bytes:
    """Write ``code`` to ``path`` whole or not at all, and return it; a folder that cannot be written is no obstacle."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
            part.write(code)
        Path(part.name).replace(path)
    except OSError:
        pass
    return code


def _compiled(text: str) -> bytes:
    parsed = binding.parse_assembly(text)
    parsed.verify()
    return bytes(_machine().emit_object(parsed))


def _machine() -> Any:
    """A code generator for the processor at hand; an engine takes it over and frees it, so none can be shared."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    features = binding.get_host_cpu_features().flatten()
    return target.create_target_machine(cpu=binding.get_host_cpu_name(), features=features, opt=3, jit=True)


def _machine_name() -> str:
    return f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}"


def _registers() -> int:
    """Bits of the processor's vector registers."""
    features = binding.get_host_cpu_features()
    return next((bits for name, bits in WIDEST if features.get(name)), 128)
