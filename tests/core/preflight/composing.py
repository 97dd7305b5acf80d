"""Services of compose texts as Docker Compose itself reads them."""

from pathlib import Path

from blocks.compose_reader import Asked, read_project
from core.preflight.composed import Service, services_of
from core.topology.composed import Project


def project_of(text: str, folder: Path, env: str = "") -> Project:
    """What Compose makes of a file with this text, beside a ``.env``."""
    (folder / "compose.yaml").write_text(text, encoding="utf-8")
    (folder / ".env").write_text(env, encoding="utf-8")
    return read_project(Asked((str(folder / "compose.yaml"),)))


def services_by_name(text: str, folder: Path, env: str = "") -> dict[str, Service]:
    """Its services."""
    return {each.name: each for each in services_of(project_of(text, folder, env))}
