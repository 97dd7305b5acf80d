"""Backups: what one is made of, which to keep, and how to tell a good one from a bad one."""
