"""Ranvier compiles trained spiking networks for Loihi-class chips and runs the programs bit for bit."""

__version__ = "0.1.0"
