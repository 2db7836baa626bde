"""Compiling for chips that are no meshes of neurosynaptic cores: Xylo, Speck, TrueNorth."""

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ranvier.app import App
from ranvier.compiler.devices import Device, build_device
from ranvier.compiler.diagnostics import Figure, error
from ranvier.compiler.ir.coding import frames_of
from ranvier.compiler.ir.network import Network
from ranvier.compiler.options import Options
from ranvier.compiler.pipeline import prepare
from ranvier.runtimes.calibration_data import with_calibration_notes
from ranvier.runtimes.observe import measure


def device_app(net: Network, target: Device, calibrate: ArrayLike | None, options: Options) -> App:
    """``net`` compiled for ``target``; RV651 for options of weights, which have one width and one rounding there."""
    if replace(options, input_bits=Options().input_bits) != Options():
        text = f"weights of {target.name} have one width and one way of rounding"
        raise error("RV651", target.name, text, "leave out the options of weights, or take a target such as loihi2")
    prepared, provenance, observed = prepare(net), dict[str, Figure](), None
    if calibrate is not None:
        data = np.asarray(calibrate)
        frames = frames_of(prepared.inputs[0], data)
        observed = measure(prepared, frames).observed
        prepared = with_calibration_notes(prepared, frames, observed)
        content = hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest()
        provenance = {"calibration_shape": str(data.shape), "calibration_sha256": content}
    program = build_device(prepared, target, observed)
    return App(program, None, {"network": net.name, **options.provenance(), **provenance}, target.sha256)
