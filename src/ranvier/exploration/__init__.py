"""Exploration of schedules on chips with a hierarchy of memories (``ranvier explore``)."""

from ranvier.exploration.elision import Elision
from ranvier.exploration.execution import Execution
from ranvier.exploration.explore import Exploration, Wish, explore

__all__ = ["Elision", "Execution", "Exploration", "Wish", "explore"]
