"""Conventional (ReLU) networks from torch modules and ONNX files to spiking ones."""
