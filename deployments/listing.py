"""Lists as commands print them: columns as wide as what stands in them."""

from collections.abc import Sequence
from datetime import UTC, datetime

import typer


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """The first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def minute(moment: datetime | None) -> str:
    """A time to the minute; a dash for none."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if moment else "-"
