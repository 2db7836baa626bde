"""Executors of a program and what compares them: oracle, simulator, Lava, verification and reports."""
