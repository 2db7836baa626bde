"""Chip networks on devices that are not ideal: cells that are written and read with errors, and what that costs."""
