"""All checks before production in their order: what is looked at, and what is judged by it.

Works with nothing running as far as it can; what nobody was there to say is a warning that says so.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from blocks.compose_reader import Asked, read_project
from blocks.own_thread import in_own_thread
from blocks.preflight import databases, files, prefect_door, scripts
from blocks.probes import certificate, disk
from core.addresses import is_loopback, masked
from core.backups.sources import UNSEALED, left_out
from core.config import Settings
from core.errors import PilothouseError
from core.preflight import exposed, installation, saved, secrets, web
from core.preflight.composed import Service, environment_files, services_of
from core.preflight.facts import facts_of
from core.preflight.item import Item, listed
from core.preflight.projects import items_of
from core.preflight.secrets import Given
from core.settings_services import ServiceSettings
from core.topology.composed import Project
from core.topology.variables import variables_of


@dataclass(frozen=True, slots=True)
class Read:
    """Compose files that were read, and those that were not, with what Compose says."""

    projects: tuple[Project, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def doubtful(self) -> list[str]:
        """What Compose said besides."""
        unset = dict.fromkeys(name for project in self.projects for name in project.unset)
        said = [f"Not set, and so empty: {listed(unset)}"] if unset else []
        return said + [each for project in self.projects for each in project.warnings if "obsolete" not in each]

    @property
    def services(self) -> list[Service]:
        return [each for project in self.projects for each in services_of(project)]


async def preflighted(settings: Settings, given: Sequence[Sequence[str]]) -> list[Item]:
    """Every item. ``given``: the compose files of each project."""
    read, facts = await asyncio.gather(_read(given), facts_of(settings, _now()))
    services = read.services
    items = _secrets(settings, services)
    items += [
        web.cors([*(Given("cors_origins", each) for each in settings.cors_origins), *_origins(services)]),
        await _tls(settings),
        saved.backups(
            facts.copies,
            _now(),
            timedelta(hours=settings.backups.grace_hours),
            _beside(settings),
            UNSEALED if left_out(settings) else "",
        ),
        saved.drills(facts.copies, _now()),
        installation.alert_channel(facts.channels, list(settings.channels)),
    ]
    items += await _machine(settings, read)
    variables = variables_of(each for project in read.projects for each in environment_files(project))
    return items + items_of([each for one in given for each in one], services, variables, read.refused, read.doubtful)


def compose_files(settings: Settings) -> list[list[str]]:
    """Those of ``[preflight]`` and of the changes that are configured, a project each."""
    given = (settings.preflight.compose, *(one.compose for one in settings.changes.values()))
    return [list(each) for each in dict.fromkeys(tuple(map(str, files)) for files in given) if each]


def _now() -> datetime:
    return datetime.now(UTC)


async def _read(given: Sequence[Sequence[str]]) -> Read:
    projects, refused = [], []
    for each in given:
        try:
            projects.append(await in_own_thread(partial(read_project, Asked(tuple(each))), "preflight-compose"))
        except PilothouseError as error:
            refused.append(error.message)
    return Read(tuple(projects), tuple(refused))


def _secrets(settings: Settings, services: Sequence[Service]) -> list[Item]:
    access, folder = settings.access, settings.data_dir
    jwt, session = access.jwt_secret, access.session_secret
    given = {
        "jwt_secret": ([Given("JWT_SECRET", jwt.get_secret_value())] if jwt else []) + exposed.given_as(services, "JWT_SECRET"),
        "session_secret": ([Given("SESSION_SECRET", session.get_secret_value())] if session else [])
        + exposed.given_as(services, "SESSION_SECRET"),
    }
    password = access.admin_password.get_secret_value() if access.admin_password else None
    urls = [
        Given(where, url.get_secret_value())
        for where, url in (("database.url", settings.database.url), ("redis.url", settings.redis.url))
        if url is not None
    ]
    apart = {"access.jwt_secret", "access.session_secret", "access.admin_password", "database.url", "redis.url"}
    ages = {name: days for name in ("admin-token",) if (days := files.days_of(folder / name)) is not None}
    others = [each for each in secrets.secrets_of(settings) if each.where not in apart]
    return [
        secrets.signing_secret(
            "jwt_secret",
            given["jwt_secret"],
            None if jwt else files.days_of(folder / "secrets" / "jwt"),
            len(access.jwt_secrets_before),
        ),
        secrets.signing_secret("session_secret", given["session_secret"]),
        secrets.admin_password(password, (folder / "admin-password").exists()),
        secrets.database_password(urls),
        secrets.other_secrets(others, ages),
    ]


def _origins(services: Sequence[Service]) -> list[Given]:
    names = ("CORS_ORIGIN", "CORS_ORIGINS", "WEB_API_CORS_ALLOW_ORIGINS", "CONSOLE_CORS_ALLOW_ORIGINS", "ALLOWED_ORIGINS")
    return [each for name in names for each in exposed.given_as(services, name)]


async def _tls(settings: Settings) -> Item:
    own = files.certificate(settings.tls_cert, _now()) if settings.tls_cert is not None else None
    outside = None
    if settings.public_url is not None and settings.public_url.startswith("https://"):
        service = ServiceSettings.model_validate({"check": "tls", "url": settings.public_url})
        outside = await certificate.probe("public_url", service, settings).look()
    return web.tls(settings.host, settings.public_url, own, outside)


def _beside(settings: Settings) -> bool:
    return settings.backups.store.bucket is None and settings.backups.store.folder is None


async def _machine(settings: Settings, read: Read) -> list[Item]:
    users, skew, apart = await _databases(settings)
    api = settings.prefect.api_url
    found = scripts.python_scripts(_commands(settings))
    there = settings.data_dir
    return [
        installation.secret_files(files.modes_of(_secret_files(settings, read))),
        installation.data_dir(files.mode_of(there), str(there)),
        installation.disk(await disk.probe("disk", ServiceSettings(check="disk", path=_existing(there)), settings).look()),
        installation.clock(skew),
        installation.database_users(users),
        installation.workspaces(apart),
        installation.prefect_auth(
            None if api is None else masked(api),
            None if api is None else await prefect_door.is_open(api, settings.ca_file),
            api is not None and is_loopback(urlsplit(api).hostname or ""),
        ),
        installation.hook_scripts(
            [str(each) for each in found], await asyncio.to_thread(scripts.bandit_over, found) if found else None
        ),
    ]


async def _databases(settings: Settings) -> tuple[list[installation.DatabaseUser], float | None, bool | None]:
    """Who we are on our own database and on those that models may read; by how much our own one's clock differs, and whether
    requests have a role of their own there."""
    urls = {"database.url": settings.database.url} if settings.database.url is not None else {}
    urls |= {f"databases.{name}": each.url for name, each in settings.databases.items()}
    users: list[installation.DatabaseUser] = []
    skew: float | None = None
    apart: bool | None = None
    for where, url in urls.items():
        seen = await asyncio.to_thread(databases.asked, url.get_secret_value(), settings.ca_file)
        own = where == "database.url"
        users.append(
            installation.DatabaseUser(
                where, None if seen is None else seen.superuser, near=own and not urlsplit(url.get_secret_value()).hostname
            )
        )
        if own and seen is not None:
            skew, apart = seen.skew, seen.apart
    return users, skew, apart


def _secret_files(settings: Settings, read: Read) -> list[Path]:
    folder = settings.data_dir
    kept = folder / "secrets"
    found = [folder / name for name in ("admin-token", "admin-password", "run/engines.json")]
    found += sorted(kept.iterdir()) if kept.is_dir() and os.access(kept, os.R_OK | os.X_OK) else []
    found += [each for each in (settings.read_from, settings.tls_key, Path.cwd() / ".env") if each is not None]
    return [*found, *(each for project in read.projects for each in environment_files(project))]


def _commands(settings: Settings) -> list[tuple[Sequence[str], Path | None]]:
    found: list[tuple[Sequence[str], Path | None]] = [(each.command, None) for each in settings.hooks.values()]
    for change in settings.changes.values():
        found += [(words, change.where) for words in (*change.commands, *change.checks, *change.undo)]
    return found


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next((each for each in (folder, *folder.parents) if each.exists()), Path("/"))
