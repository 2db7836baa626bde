"""The kernels compile for NVIDIA GPUs, down to machine code, without one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "scripts" / "compile_kernels.py"


@pytest.mark.skipif(sys.platform != "linux", reason="Triton's compiler comes for Linux only")
@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile(capability: int, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path / "triton"), "RANVIER_CACHE": str(tmp_path / "ranvier")}
    command = [sys.executable, "-W", "error", str(SCRIPT), str(capability)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert {name for name, _, _ in found} == {"product", "gather", "listing", "scatter", "scan"}
    assert all(size > 0 for _, size, _ in found)
    assert [tensor for name, _, tensor in found if name == "product"] == [True, False, True]
    assert not any(tensor for name, _, tensor in found if name != "product")
