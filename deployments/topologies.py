"""``pilothouse topology``: import what a platform's compose files say, and show what is kept. Needs nothing running."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import orjson
import typer

from blocks.compose_files import LARGEST_FILE
from blocks.compose_reader import Asked, Reader, read_project
from core.addresses import masked
from core.config import load_settings
from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.topology.choosing import Imported, Place, imported
from core.topology.composed import Finding, Project
from core.topology.kept import FOLDER, checked_edges, files_of, fit_name, load_with_findings
from core.topology.topology import Topology
from core.topology.writing import as_toml, differences
from deployments.options import AsJson, Config, DataDir
from deployments.topology_tables import print_findings, print_services

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="What depends on what. Example: pilothouse topology import docker-compose.yaml",
)
DOCKER_SOCKET = Path("/var/run/docker.sock")


@app.callback()
def topology() -> None:
    """What depends on what. Example: pilothouse topology import docker-compose.yaml"""


@app.command("import")
def import_(
    compose: Annotated[list[str], typer.Argument(help="Compose files of one project, in their order; - is standard input.")],
    out: Annotated[Path | None, typer.Option(help="Where to keep it; else topologies/NAME.toml in the data directory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; nothing is written.")] = False,
    env_file: Annotated[list[Path] | None, typer.Option(help="In place of the .env beside the first file.")] = None,
    profile: Annotated[list[str] | None, typer.Option(help="A profile that is active.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call it; else the project's name.")] = None,
    host: Annotated[str, typer.Option(help="The host that publishes its ports.")] = "127.0.0.1",
    docker: Annotated[bool | None, typer.Option(help="Ask Docker for what publishes no port; else where there is one.")] = None,
    reader: Annotated[str, typer.Option(help="carried, or host: this machine's own docker compose.")] = "carried",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a kept file that differs; it stays beside as .old.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Services, edges and checks of a compose project, for review. Example: pilothouse topology import docker-compose.yaml

    Exit code 2: refused, with what Docker Compose says and where; or a kept file differs.
    """
    if as_json and out is not None:
        raise ConfigurationInvalid("--json writes nothing: leave out --out, or --json.")
    settings = load_settings(config=config, overrides={"data_dir": data_dir})
    asked = Asked(tuple(compose), tuple(profile or ()), tuple(env_file or ()), _reader(reader), _stdin(compose))
    project = read_project(asked)
    if not re.fullmatch(r"[\w.:-]{1,253}", host):
        raise ConfigurationInvalid("--host: expected a host's name or address, without scheme and port.")
    place = Place(host, _has_docker(settings) if docker is None else docker)
    found = imported(project, place, name)
    fit_name(found.name, "--name")
    if as_json:
        typer.echo(orjson.dumps(_as_json(found), option=orjson.OPT_INDENT_2).decode())
        return
    print_services(found.name, {chosen.key: chosen.table for chosen in found.services})
    print_findings(found.findings)
    _keep(found, project, out or settings.data_dir / FOLDER / f"{found.name}.toml", replace)


@app.command()
def show(
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """The topologies that are kept, and the services of the configuration. Example: pilothouse topology show

    Exit code 2: a file is refused; the others are shown.
    """
    settings = load_settings(config=config, overrides={"data_dir": data_dir})
    kept, refused = _kept(settings)
    if settings.services:
        kept.append(
            (Topology("services", checked_edges(settings.services, "pilothouse.toml")), [], str(settings.read_from or ""))
        )
    if as_json:
        shown = [
            {
                "name": topology.name,
                "file": file,
                "services": [_service_json(key, _table(service)) for key, service in topology.services.items()],
                "findings": [_finding_json(finding) for finding in findings],
            }
            for topology, findings, file in kept
        ]
        typer.echo(orjson.dumps({"topologies": shown}, option=orjson.OPT_INDENT_2).decode())
    for number, (topology, findings, file) in enumerate([] if as_json else kept):
        if number:
            typer.echo()
        print_services(f"{topology.name} ({file})", {key: _table(service) for key, service in topology.services.items()})
        print_findings(findings)
    if refused:
        raise ConfigurationInvalid("\n".join(refused))
    if not kept and not as_json:
        typer.echo("There is no topology yet: pilothouse topology import docker-compose.yaml")


def _kept(settings: Settings) -> tuple[list[tuple[Topology, list[Finding], str]], list[str]]:
    """The kept topologies with what is said of them and their files, and why others cannot be read."""
    kept: list[tuple[Topology, list[Finding], str]] = []
    refused: list[str] = []
    for file in files_of(settings):
        try:
            kept.append((*load_with_findings(file), str(file)))
        except ConfigurationInvalid as error:
            refused.append(error.message)
    return kept, refused


def _reader(name: str) -> Reader:
    if name == "host":
        return "host"
    if name != "carried":
        raise ConfigurationInvalid("--reader: expected carried or host.")
    return "carried"


def _stdin(compose: list[str]) -> bytes | None:
    return sys.stdin.buffer.read(LARGEST_FILE + 1) if "-" in compose else None


def _has_docker(settings: Settings) -> bool:
    """Whether there is a Docker to ask, without asking it."""
    return settings.sweeps.docker is not None or DOCKER_SOCKET.exists()


def _keep(found: Imported, project: Project, file: Path, replace: bool) -> None:
    """Writes the file, unless there is one that says something else and nobody said to replace it."""
    text = as_toml(found, project.files, project.env_files)
    if file.exists():
        try:
            changed = differences(file.read_text(encoding="utf-8"), text)
        except ValueError:
            changed = ["it is not valid TOML"]
        if not changed:
            typer.echo(f"{file} says the same already.")
            return
        if not replace:
            listed = "\n".join(f"  {line}" for line in changed)
            raise ConfigurationInvalid(
                f"{file} differs and is left as it is:\n{listed}\nUse --replace, or --name for another platform."
            )
        file.replace(file.with_suffix(".toml.old"))
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".toml.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
    typer.echo(f"kept: {file}")


def _as_json(found: Imported) -> dict[str, object]:
    return {
        "name": found.name,
        "services": [_service_json(chosen.key, chosen.table) for chosen in found.services],
        "findings": [_finding_json(finding) for finding in found.findings],
    }


def _service_json(key: str, table: Mapping[str, object]) -> dict[str, object]:
    edges = {"depends_on", "hints", "image", "container", "one_shot"}
    probe = {name: value for name, value in table.items() if name not in edges}
    if probe["check"] == "docker":
        probe["container"] = table["container"]
    return {
        "name": key,
        "image": table.get("image", ""),
        "container": table.get("container", ""),
        "probe": None if probe["check"] == "none" else probe,
        "dependsOn": table.get("depends_on", []),
        "hints": table.get("hints", []),
        "oneShot": table.get("one_shot", False),
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    return {"level": finding.level, "service": finding.service, "message": finding.message}


def _table(service: ServiceSettings) -> dict[str, object]:
    """What a service sets, without what is secret."""
    shown = service.model_dump(mode="json", exclude={"url", "password", "headers", "platform"}, exclude_defaults=True)
    if service.url is not None:
        shown["url"] = masked(service.url.get_secret_value())
    return shown
