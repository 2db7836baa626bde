"""Lava as an executor: its own Python environment, the emitted project, and the child that runs it."""
