"""Spikes that carry their size, and binary weights."""
