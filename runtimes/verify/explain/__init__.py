"""Explain a verification: which approximation, in which layer, at which step, makes the deployed network differ."""
