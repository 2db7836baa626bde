"""The executor of schedules: a network in any order, tile by tile, with every transfer counted."""

from ranvier.runtimes.scheduled.run import ScheduledRun, run

__all__ = ["ScheduledRun", "run"]
