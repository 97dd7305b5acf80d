"""Measurements, run by hand and not by pytest: ``python -m tests.benchmarks.chat`` (``…replay``, ``…charts``, ``…tools``)."""
