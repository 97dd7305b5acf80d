"""Sweeps: what probes saw, what that makes of a service, and which of several failures is the cause."""
