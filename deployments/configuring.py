"""``pilothouse config show``: every setting, its value with secrets masked, and where it came from. Needs nothing running."""

import orjson
import typer

from core.config import Described, describe, load_settings
from deployments.options import AsJson, Config, DataDir

app = typer.Typer(no_args_is_help=True, help="Settings in force. Example: pilothouse config show --json")


@app.callback()
def config() -> None:
    """Settings in force. Example: pilothouse config show --json"""


@app.command()
def show(
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Every setting, its value (secrets masked) and its source. Example: pilothouse config show"""
    settings = load_settings(config=config, overrides={"data_dir": data_dir})
    rows = describe(settings)
    if as_json:
        content = {"settings": [row._asdict() for row in rows], "hints": settings.hints}
        typer.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode())
        return
    for line in _lines(rows):
        typer.echo(line)
    for hint in settings.hints:
        typer.echo(f"# {hint}")


def _lines(rows: list[Described]) -> list[str]:
    """One ``key = value  # source`` line each, in columns; values as JSON has them, which TOML mostly shares."""
    values = [orjson.dumps(row.value).decode() for row in rows]
    keys = max(len(row.key) for row in rows)
    width = min(48, max(len(value) for value in values))
    return [f"{row.key:<{keys}} = {value:<{width}}  # {row.source}" for row, value in zip(rows, values, strict=True)]
