"""Schedules of spiking networks on chips with a hierarchy of memories: what is computed when, and what lives where."""
