"""What can be known about a program without running it: value ranges, memory, energy, latency, schedules."""
