"""ONNX files (``.onnx``): spiking networks exported by torch, unrolled over time, as Scan, or as a single step."""

from ranvier.frontends.onnx.load import load_onnx

__all__ = ["load_onnx"]
