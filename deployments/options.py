"""Options that many commands have; those of commands that ask the API are in ``client``."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option(help="The configuration file; else pilothouse.toml here or in the data directory.")]
DataDir = Annotated[Path | None, typer.Option(help="Where everything is kept on this machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
