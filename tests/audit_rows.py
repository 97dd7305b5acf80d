"""What the audit log of a test's database says, read past our own code."""

from typing import Any, NamedTuple

import psycopg


class Row(NamedTuple):
    """An entry."""

    action: str
    outcome: str
    actor: str
    about: str
    details: dict[str, Any]
    seq: int


def audit_rows(url: str, *actions: str) -> list[Row]:
    """Entries in their order; of ``actions`` alone where some are named."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT action, outcome, actor, object, details, seq FROM pilothouse.audit ORDER BY seq"
        ).fetchall()
    return [row for row in (Row(*each) for each in rows) if not actions or row.action in actions]
