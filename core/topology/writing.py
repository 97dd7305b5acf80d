"""A topology as the TOML file that people edit: where it came from, and what the import had to say beside what it is about."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import tomlkit
from tomlkit.items import Table

from core.addresses import masked
from core.topology.choosing import Imported
from core.topology.composed import Finding

WIDTH = 110
_HEAD = """\
What `pilothouse topology import` made of {sources}.
Edit it: every key of [services.X] in docs/configuration.md may stand here. It holds no password, only where one is
(env:NAME, file:PATH). A later import says what differs and replaces this file only with --replace."""


def as_toml(found: Imported, sources: Iterable[str], env_files: Iterable[Path]) -> str:
    """The text of the file. ``env_files`` are named in it where a login refers to one of their variables."""
    document = tomlkit.document()
    for line in _HEAD.format(sources=", ".join(sources)).splitlines():
        document.add(tomlkit.comment(line))
    for finding in found.findings:
        if finding.service is None:
            _comment(document, finding)
    document.add(tomlkit.nl())
    document.add("name", tomlkit.item(found.name))
    refers = any(str(value).startswith("env:") for chosen in found.services for value in chosen.table.values())
    if refers and (files := [str(file) for file in env_files]):
        document.add(tomlkit.comment("Where env:NAME is looked up before the environment."))
        document.add("env_files", tomlkit.item(files))
    services = tomlkit.table(is_super_table=True)
    for chosen in found.services:
        table = tomlkit.table()
        for finding in found.findings:
            if finding.service == chosen.key:
                _comment(table, finding)
        for key, value in chosen.table.items():
            table.add(key, tomlkit.item(value))
        services.add(chosen.key, table)
    document.add("services", services)
    return tomlkit.dumps(document)


def _comment(where: tomlkit.TOMLDocument | Table, finding: Finding) -> None:
    words, line = finding.message.split(), f"{finding.level}:"
    for word in words:
        if len(line) + len(word) > WIDTH:
            where.add(tomlkit.comment(line))
            line = " "
        line += f" {word}"
    where.add(tomlkit.comment(line))


def differences(kept: str, fresh: str) -> list[str]:
    """What a kept file and a fresh import say differently, a line each; empty where they mean the same."""
    old, new = (tomlkit.parse(text).unwrap() for text in (kept, fresh))
    lines = [f"{key}: differs" for key in ("name", "env_files") if old.get(key) != new.get(key)]
    mine, theirs = old.get("services", {}), new.get("services", {})
    for name in dict.fromkeys((*mine, *theirs)):
        if name not in theirs:
            lines.append(f"services.{name}: only in the file")
        elif name not in mine:
            lines.append(f"services.{name}: only in the import")
        else:
            lines += [f"services.{name}.{line}" for line in _changed(mine[name], theirs[name])]
    return lines


def _changed(mine: Mapping[str, object], theirs: Mapping[str, object]) -> Iterable[str]:
    for key in dict.fromkeys((*mine, *theirs)):
        if mine.get(key) != theirs.get(key):
            yield f"{key}: {_shown(key, mine)} in the file, {_shown(key, theirs)} in the import"


def _shown(key: str, table: Mapping[str, object]) -> str:
    value = table.get(key)
    if value is None:
        return "nothing"
    if key in {"password", "headers"} and not str(value).startswith(("env:", "file:")):
        return "something"
    return masked(value) if isinstance(value, str) else str(value)
