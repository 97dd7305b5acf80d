"""Alembic's scripts. A revision's id is the number its file name starts with."""
