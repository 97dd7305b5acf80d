"""``pilothouse usage``: what was used, from the database itself."""

from typing import Annotated

import orjson
import typer

from core.config import load_settings
from core.store.base import Store
from core.store.usage import By, Usage, Used
from core.usage_report import LINES, as_csv, by_of, days, told, total
from deployments.listing import print_columns
from deployments.options import AsJson, Config, DataDir
from deployments.own_database import asked


def usage(
    by: Annotated[str, typer.Option(help="A line for each workspace, model, day, token or tool.")] = "day",
    first: Annotated[str | None, typer.Option("--from", help="The first day, as 2026-11-01; else the month's.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day; else today.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Of this workspace alone.")] = None,
    as_csv_: Annotated[bool, typer.Option("--csv", help="For spreadsheets.")] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """What was used: turns, tokens, tool runs and what they cost. Example: pilothouse usage --by model --from 2026-11-01"""
    settings = load_settings(config=config, overrides={"data_dir": data_dir})
    kind, about = by_of(by), days(first, last, settings.timezone)

    async def report(store: Store) -> list[Used]:
        return await Usage(store, settings.timezone).report(kind, about.since, about.until, workspace)

    lines = asked(config, data_dir, "a ledger of usage", report)
    if as_csv_:
        typer.echo(as_csv(lines, kind), nl=False)
    elif as_json:
        found = {"from": about.first, "to": about.last, "timezone": settings.timezone, "by": kind}
        found |= {"rows": [told(line, kind) for line in lines], "total": told(total(lines))}
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        print_columns([_heading(kind), *(_row(line, kind) for line in lines), _row(total(lines), None, len(LINES[kind]))])


def _heading(by: By) -> list[str]:
    return [*(name.upper() for name in LINES[by]), "TURNS", "PROMPT", "ANSWER", "TOOLS", "ERRORS", "COST"]


def _row(line: Used, by: By | None, names: int = 1) -> list[str]:
    named = [str(getattr(line, name)) or "-" for name in LINES[by]] if by is not None else ["in all", *[""] * (names - 1)]
    cost = " + ".join(f"{amount:.2f} {currency}" for currency, amount in sorted(line.cost.items())) or "-"
    numbers = (line.turns, line.prompt_tokens, line.completion_tokens, line.tool_runs, line.errors)
    return [*named, *map(str, numbers), cost]
