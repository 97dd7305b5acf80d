"""Logins by GitHub, which speaks OAuth without OpenID Connect: who somebody is, its API says.

https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps; groups are the organisations, and teams as
``organisation/team``.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import structlog

from blocks.identity_http import IdentityHttp
from core.errors import DirectoryUnavailable, LoginRefused
from core.identity.directory import Person
from core.identity.oidc import Begun
from core.identity.oidc_claims import person_of
from core.settings_oidc import GITHUB, LABELS, OidcSettings

log = structlog.get_logger(__name__)

CLIENT_REFUSED = frozenset({"incorrect_client_credentials", "redirect_uri_mismatch", "application_suspended"})


class GithubOauth:
    """One ``[oidc.X]`` of kind ``github``."""

    def __init__(self, name: str, settings: OidcSettings, ca_file: Path | None = None) -> None:
        self._name, self._settings = name, settings
        self.source, self.label = f"oidc:{name}", settings.label or LABELS["github"]
        self._http = IdentityHttp(self.label, settings.timeout, ca_file)
        self._base = settings.address.rstrip("/")
        self._api = "https://api.github.com" if self._base == GITHUB else f"{self._base}/api/v3"

    async def leads(self, begun: Begun, back: str) -> str:
        """See ``IdentityProvider``."""
        asked = {
            "client_id": self._settings.client_id,
            "redirect_uri": back,
            "scope": " ".join(self._settings.asked_scopes),
            "state": begun.state,
            "code_challenge": begun.challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._base}/login/oauth/authorize?{urlencode(asked)}"

    async def person(self, begun: Begun, code: str, back: str) -> Person:
        """See ``IdentityProvider``."""
        token = await self._exchanged(begun, code, back)
        user = await self._told("/user", token)
        if not isinstance(user, dict) or not isinstance(user.get("id"), int):
            raise self._invalid("user")
        claims = {"sub": str(user["id"]), "name": user.get("name") or user.get("login"), "email": await self._email(token)}
        if self._settings.asks_groups:
            claims["groups"] = await self._groups(token)
        return person_of(self._settings, claims)

    async def bearer(self, token: str) -> Person | None:
        """None: GitHub's access tokens say nothing of whom they were made for."""
        return None

    async def _exchanged(self, begun: Begun, code: str, back: str) -> str:
        secret = self._settings.client_secret
        form = {
            "client_id": self._settings.client_id,
            "client_secret": secret.get_secret_value() if secret is not None else "",
            "code": code,
            "redirect_uri": back,
            "code_verifier": begun.verifier,
        }
        url = self._settings.outward(f"{self._base}/login/oauth/access_token")
        told = await self._http.ask(url, form=form)
        document = told.document or {}
        token = document.get("access_token")
        if isinstance(token, str) and token:
            return token
        if document.get("error") in CLIENT_REFUSED:
            log.error("oidc_client_refused", provider=self._name, reason=document["error"])
            raise DirectoryUnavailable(f"{self.label} refuses Pilothouse itself: correct oidc.{self._name}.client_secret.")
        raise self._invalid("code")

    async def _email(self, token: str) -> str | None:
        listed = await self._told("/user/emails", token)
        mails = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        own = (one.get("email") for one in mails if one.get("primary") is True and one.get("verified") is True)
        return next(own, None)

    async def _groups(self, token: str) -> list[str]:
        listed, teams = await self._told("/user/orgs?per_page=100", token), await self._told("/user/teams?per_page=100", token)
        groups = [one.get("login") for one in listed or [] if isinstance(one, dict)]
        for one in teams or []:
            owner = one.get("organization") if isinstance(one, dict) else None
            groups.append(f"{owner.get('login')}/{one.get('slug')}" if isinstance(owner, dict) else None)
        return [group for group in groups if isinstance(group, str)]

    async def _told(self, path: str, token: str) -> Any:
        """Raises ``LoginRefused`` where the token may not ask that."""
        told = await self._http.ask(self._settings.outward(self._api + path), token=token)
        if told.status != 200:
            raise self._invalid(f"{path.partition('?')[0]} {told.status}")
        return told.body

    def _invalid(self, reason: str) -> LoginRefused:
        log.warning("oidc_login_refused", provider=self._name, reason=reason)
        return LoginRefused(f"{self.label}'s answer could not be taken: log in again.", "invalid")
