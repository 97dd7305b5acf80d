"""Alerts: what changed, who is told, how and how often."""
