"""Our own SQL against a real PostgreSQL."""
