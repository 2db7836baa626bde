"""Damaged files: read or refused with a diagnostic, never another exception, quickly and in little memory."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np

from support.onnx_files import Writer

EDITS = 300
SECONDS = 3.0
MEMORY = 500 * 2**20
BATCH = """
import json, sys, time
from ranvier.compiler.diagnostics import RanvierError
from ranvier.frontends.onnx import load_onnx
for path in sys.argv[1:]:
    started = time.process_time()
    try:
        load_onnx(path)
        codes = ["read"]
    except RanvierError as refused:
        codes = [d.code for d in refused.diagnostics]
    # Not ru_maxrss, which starts with what the parent process held.
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
    print(json.dumps([path, codes, time.process_time() - started, int(peak) * 1024]), flush=True)
"""


def original(folder: Path) -> bytes:
    """Two layers of neurons, unrolled, with a convolution, a pool and moved elements."""
    w = Writer()
    kernel, matrix = w.constant(np.ones((2, 1, 3, 3), np.float32) / 4), w.constant(np.ones((8, 3), np.float32) / 4)
    v1, v2 = w.constant(np.zeros((1, 2, 4, 4), np.float32)), w.constant(np.zeros((1, 3), np.float32))
    shown = []
    for t in range(4):
        h = w("Add", w("Mul", v1, np.float32(0.9)), w("Conv", w("Gather", "x", np.array(t)), kernel))
        s = w("Cast", w("Greater", w("Sub", h, np.float32(1)), np.float32(0)))
        v1 = w("Sub", h, s)
        pooled = w("AveragePool", s, kernel_shape=[2, 2], strides=[2, 2])
        x = w("MatMul", w("Reshape", pooled, np.array([1, -1])), matrix)
        h = w("Add", w("Mul", v2, np.float32(0.5)), x)
        fired = w("GreaterOrEqual", h, np.float32(0.5))
        v2 = w("Where", fired, np.zeros((1, 3), np.float32), h)
        shown.append(w("Cast", fired))
    path = w.save(folder / "whole.onnx", {"x": (4, 1, 1, 6, 6)}, [w("Concat", *shown, axis=0)])
    return path.read_bytes()


def damaged(data: bytes, seed: int) -> bytes:
    """A copy that is cut, flipped, overwritten, or has a part of itself moved."""
    dice, edited = random.Random(seed), bytearray(data)
    kind = seed % 4
    if kind == 0:
        return bytes(edited[: dice.randrange(len(edited))])
    if kind == 1:
        for _ in range(dice.choice([1, 2, 5])):
            edited[dice.randrange(len(edited))] ^= 1 << dice.randrange(8)
    elif kind == 2:
        start = dice.randrange(len(edited) - 16)
        edited[start : start + 8] = dice.choice([b"\xff" * 8, bytes(8), b"\x00\x00\x00\x80\x00\x00\x00\x00"])
    else:
        start, length = dice.randrange(len(edited) - 40), dice.randrange(1, 30)
        edited[start : start + length] = edited[length : 2 * length]
    return bytes(edited)


def test_damaged_files(tmp_path: Path) -> None:
    data = original(tmp_path)
    paths = [tmp_path / "whole.onnx"]
    for seed in range(EDITS):
        paths.append(tmp_path / f"{seed}.onnx")
        paths[-1].write_bytes(damaged(data, seed))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", BATCH, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == EDITS + 1
    assert found[0][1] == ["read"]
    assert sum(codes != ["read"] for _, codes, _, _ in found) > EDITS / 4
    for path, codes, seconds, peak in found:
        assert seconds < SECONDS, (path, codes, seconds)
        assert peak < MEMORY, (path, codes, peak)
        assert codes == ["read"] or all(code.startswith("RV2") for code in codes)
