"""Probes against real servers."""
