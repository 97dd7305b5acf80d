"""An API with two workspaces and people of every role, for tests of who may do what."""

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import SecretStr

from core.config import DatabaseSettings
from core.identity.access_tokens import AccessTokens
from core.settings_access import ROLES
from core.store.access import Tokens
from core.store.base import Store
from core.store.logins import Logins
from core.store.members import Members
from core.store.users import Users
from core.store.workspaces import Workspaces
from deployments.postgres import EmbeddedPostgres
from tests.api.serving import Served, beside, launched, provider

MINE, THEIRS = "research", "sales"
SOURCES = f"""
[sources.our-files]
path = "/nowhere"
workspace = "{MINE}"
[sources.their-files]
path = "/nowhere"
workspace = "{THEIRS}"
[channels.their-channel]
kind = "webhook"
url = "http://127.0.0.1:9/"
workspaces = ["{THEIRS}"]
"""
TOKEN_SCOPES = ("chat", "tools", "plugin", "alerts", "heartbeat", "read", "flows:backup", "flows:*", "admin")


@dataclass
class Peopled:
    """``headers`` by name: ``research viewer``, ``default operator``, ``root``, ``sales token chat`` …"""

    api: Served
    secret: str
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    """Their ids."""
    cookies: dict[str, str] = field(default_factory=dict)
    """Those of their browsers."""

    def client(self, who: str = "nobody") -> httpx.AsyncClient:
        headers = self.headers.get(who, {})
        return httpx.AsyncClient(base_url=self.api.url, headers=headers, timeout=30, trust_env=False)

    async def fill(self) -> None:
        """Everybody is logged in, without a password being hashed."""
        store = Store.from_settings(DatabaseSettings(url=SecretStr(self.api.database_url)))
        try:
            for name in (MINE, THEIRS):
                await Workspaces(store).create(name)
            for place in ("default", MINE, THEIRS):
                names = {role: "root" if (place, role) == ("default", "admin") else f"{place} {role}" for role in ROLES}
                await asyncio.gather(*(self._person(store, place, role, name) for role, name in names.items()))
                await asyncio.gather(*(self._token(store, place, scope) for scope in TOKEN_SCOPES))
        finally:
            await store.aclose()

    async def _person(self, store: Store, place: str, role: str, name: str) -> None:
        """The role of an account counts in the default workspace alone."""
        everywhere = role if place == "default" else "operator"
        user = await Users(store).create(f"{name.replace(' ', '-')}@example.com", name, everywhere, None)
        if place != "default":
            await Members(store).put(place, user.id, role)
        login, _ = await Logins(store, 14).start(user.id, "api", "127.0.0.1", "test")
        _, self.cookies[name] = await Logins(store, 14).start(user.id, "browser", "127.0.0.1", "test")
        token, _ = AccessTokens([self.secret], 15).sign(user.id, login, user.role)
        self.users[name] = user.id
        self.headers[name] = {"Authorization": f"Bearer {token}"}

    async def _token(self, store: Store, place: str, scope: str) -> None:
        _, plaintext = await Tokens(store).create(scope, [scope], workspace=place)
        self.headers[f"{place} token {scope}"] = {"Authorization": f"Bearer {plaintext}"}


@contextmanager
def peopled(postgres: EmbeddedPostgres, template: str, folder: Path, upstream: str, prefect_url: str) -> Iterator[Peopled]:
    """Runs until the block ends."""
    providers: Mapping[str, Mapping[str, object]] = {"fake": provider(upstream)}
    secret = secrets.token_urlsafe(32)
    more = {"settings": SOURCES, "environment": {"JWT_SECRET": secret}, "prefect_url": prefect_url}
    with launched(postgres, template, folder, providers, **more) as api:
        found = Peopled(api, secret)
        beside(found.fill())
        yield found
