"""Our own SQL: one module a subject, its tables and the questions it answers."""
