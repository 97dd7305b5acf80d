"""Topologies as people read them in a terminal."""

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core.topology.composed import Finding


def print_services(title: str, services: Mapping[str, Mapping[str, object]]) -> None:
    """A table of services: their checks, and what they need (hints in brackets)."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for heading in ("SERVICE", "CHECK", "WHERE", "NEEDS"):
        table.add_column(heading, overflow="fold")
    for key, service in services.items():
        table.add_row(*(escape(cell) for cell in (_name(key, service), _check(service), _where(service), _needs(service))))
    Console(highlight=False).print(table)


def print_findings(findings: Iterable[Finding]) -> None:
    """A line each, warnings first; what is said of several services is said once."""
    console = Console(highlight=False)
    about: dict[tuple[str, str], list[str]] = {}
    for finding in sorted(findings, key=lambda each: each.level != "warning"):
        about.setdefault((finding.level, finding.message), []).extend([finding.service] if finding.service is not None else [])
    for (level, message), services in about.items():
        style = "yellow" if level == "warning" else "dim"
        names = f"{', '.join(services)}: " if services else ""
        console.print(f"[{style}]{level}[/] {escape(names + message)}", soft_wrap=not console.is_terminal)


def _name(key: str, service: Mapping[str, object]) -> str:
    container = str(service.get("container") or "")
    return key if not container or container == key or container.endswith(f"-{key}-1") else f"{key} ({container})"


def _check(service: Mapping[str, object]) -> str:
    return f"{service['check']}{', once' if service.get('one_shot') else ''}"


def _where(service: Mapping[str, object]) -> str:
    if service["check"] == "docker":
        return str(service.get("container", ""))
    return str(service.get("url", "-"))


def _needs(service: Mapping[str, object]) -> str:
    needs, hints = ([str(each) for each in _list(service.get(key))] for key in ("depends_on", "hints"))
    return ", ".join([*needs, *(f"({hint})" for hint in hints)])


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
