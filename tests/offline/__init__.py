"""A guard that Python processes take in at their start, when this folder is on their ``PYTHONPATH``: loopback, or nothing."""
