"""Probes: one way for each kind of service to look whether it works."""
