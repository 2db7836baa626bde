"""The network that fits the budget: cells searched without training, memory counted as the compiler does."""

from ranvier.search.assess import Candidate
from ranvier.search.files import load_architecture, save_architecture
from ranvier.search.run import Found, Settings, search
from ranvier.search.space import SPACES, Architecture, Skeleton, Space

__all__ = [
    "SPACES",
    "Architecture",
    "Candidate",
    "Found",
    "Settings",
    "Skeleton",
    "Space",
    "load_architecture",
    "save_architecture",
    "search",
]
