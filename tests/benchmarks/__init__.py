"""Measurements, run by hand and not by pytest: ``python -m tests.benchmarks.chat``, ``python -m tests.benchmarks.replay``."""
