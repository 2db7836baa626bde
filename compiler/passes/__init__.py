"""The passes: each a frozen dataclass called on a network, one pass to a file."""
