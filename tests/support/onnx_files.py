"""Spiking networks as ONNX files: exported by torch, or written by hand; and their runs in onnxruntime."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ranvier.compiler.ir.network import Network
from ranvier.runtimes import reference

Array = NDArray[Any]
NEAR = 1e-4
ATTRIBUTES: Mapping[str, Mapping[str, Any]] = {"Cast": {"to": TensorProto.FLOAT}, "Gather": {"axis": 0}}


def export(module: Any, inputs: tuple[Any, ...], path: Path, **options: Any) -> Path:
    """``torch.onnx.export`` of ``module`` into one file, as users call it."""
    import torch  # noqa: PLC0415 - slow

    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            settings = {"dynamo": True, "external_data": False, "verbose": False, **options}
            torch.onnx.export(module.eval(), inputs, str(path), **settings)
    finally:
        logging.disable(logging.NOTSET)
    return path


def stripped(path: Path) -> Path:
    """A copy without names of modules and nodes, as optimizers leave it."""
    model = onnx.load(path)
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("name")
    target = path.with_name(f"stripped_{path.name}")
    onnx.save(model, target)
    return target


def session(path: Path) -> onnxruntime.InferenceSession:
    """The file in onnxruntime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_whole(path: Path, whole: Array) -> Array:
    """The first output of a file that holds all of time."""
    running = session(path)
    return np.asarray(running.run(None, {running.get_inputs()[0].name: whole.astype(np.float32)})[0])


def run_steps(path: Path, frames: Array, states: Mapping[str, tuple[str, Sequence[int]]]) -> Array:
    """The first output in every step of a file that holds one; ``states``: input -> (output, shape)."""
    running = session(path)
    names = [o.name for o in running.get_outputs()]
    (frame,) = (i.name for i in running.get_inputs() if i.name not in states)
    held = {name: np.zeros(shape, np.float32) for name, (_, shape) in states.items()}
    found = []
    for value in frames:
        results = dict(zip(names, running.run(None, {frame: value.astype(np.float32), **held}), strict=True))
        held = {name: results[output] for name, (output, _) in states.items()}
        found.append(results[names[0]])
    return np.stack(found)


def assert_same_spikes(network: Network, frames: Array, wanted: Array) -> int:
    """Spikes equal ``wanted`` (steps, ...) until a membrane is within float error of its threshold; their number."""
    run = reference.run(network, frames.reshape(1, len(frames), *network.inputs[0].shape), ("spikes", "membrane"))
    mine = run.spikes[network.readout.node][0].reshape(len(frames), -1)
    theirs = wanted.reshape(len(frames), -1)
    wrong = np.flatnonzero(np.any(mine != theirs, axis=1))
    if wrong.size:
        seen = {p.name: run.membrane[p.name][0, : wrong[0] + 1].reshape(wrong[0] + 1, -1) for p in network.populations}
        margins = [np.min(np.abs(seen[p.name] - p.model.threshold)) for p in network.populations]
        assert min(margins) < NEAR, (wrong, mine, theirs)
    return int(theirs.sum())


class Writer:
    """Builds a graph node by node, each call giving the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any) -> str:
        """A float32 initializer (int64 for whole numbers)."""
        array = np.asarray(values)
        name = f"c{len(self.constants)}"
        kept = array.astype(np.float32) if array.dtype.kind == "f" else array
        self.constants.append(numpy_helper.from_array(kept, name))
        return name

    def __call__(self, op: str, *inputs: Any, **attributes: Any) -> str:
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        output = f"t{len(self.nodes)}"
        settings = {**ATTRIBUTES.get(op, {}), **attributes}
        self.nodes.append(helper.make_node(op, names, [output], **settings))
        return output

    def save(self, path: Path, inputs: Mapping[str, Sequence[Any]], outputs: Sequence[str]) -> Path:
        """Write the model."""
        onnx.save(self.model(inputs, outputs), path)
        return path

    def model(self, inputs: Mapping[str, Sequence[Any]], outputs: Sequence[str]) -> Any:
        """The model itself."""
        made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in inputs.items()]
        shown = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
        graph = helper.make_graph(self.nodes, "net", made, shown, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
