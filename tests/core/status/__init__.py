"""Tests of what the status page is made of."""
