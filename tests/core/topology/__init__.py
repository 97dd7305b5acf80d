"""Topologies: what depends on what, and how each service is checked."""
