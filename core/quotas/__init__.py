"""Quotas: how much a workspace or a token may ask for, counted before anything runs."""
