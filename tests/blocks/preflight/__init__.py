"""The checks before production."""
