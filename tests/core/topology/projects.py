"""Compose projects of a few lines, read by Compose itself and imported."""

from pathlib import Path
from textwrap import dedent

from blocks.compose_reader import Asked, read_project
from core.topology.choosing import Imported, Place, imported


def imported_from(
    folder: Path, compose: str, env: str = "", *, place: Place | None = None, profiles: tuple[str, ...] = ()
) -> Imported:
    """What an import makes of one compose file with a ``.env`` beside it."""
    file = folder / "compose.yaml"
    file.write_text(dedent(compose), encoding="utf-8")
    if env:
        (folder / ".env").write_text(dedent(env), encoding="utf-8")
    return imported(read_project(Asked((str(file),), profiles)), place or Place())


def tables(found: Imported) -> dict[str, dict[str, object]]:
    """Its services by name, without what every one has."""
    return {
        chosen.key: {key: value for key, value in chosen.table.items() if key not in {"image", "container"}}
        for chosen in found.services
    }


def said(found: Imported, service: str | None) -> str:
    """All that is said of a service, or of the project."""
    return "\n".join(finding.message for finding in found.findings if finding.service == service)
