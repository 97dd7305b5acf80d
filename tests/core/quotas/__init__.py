"""Quotas: limits, and what is counted against them."""
