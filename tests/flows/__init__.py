"""Flows: what they decide, and how they run under Prefect."""
