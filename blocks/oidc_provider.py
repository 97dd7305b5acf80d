"""A provider of logins by OpenID Connect: Casdoor, Keycloak, Entra ID, Google and the like.

OpenID Connect Core 1.0 and Discovery 1.0. It says who somebody is by an ID token that it signed; its own addresses come from its
discovery document. Where we reach it at another address than browsers do, we ask there under the name that browsers use, since
some providers take their issuer from that name.
"""

import re
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog

from blocks.identity_http import IdentityHttp, Told
from blocks.oidc_keys import AWAY_SECONDS, OidcKeys
from core.errors import DirectoryUnavailable, LoginRefused
from core.identity.directory import Person
from core.identity.oidc import Begun
from core.identity.oidc_claims import person_of
from core.identity.oidc_tokens import Invalid, for_access, for_client, issuer_of
from core.settings_oidc import LABELS, OidcSettings

log = structlog.get_logger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
KEPT_SECONDS = 3600.0
PLAIN = re.compile(r"[a-z_]{1,60}")
CLIENT_REFUSED = frozenset({"invalid_client", "unauthorized_client"})


class OidcProvider:
    """One ``[oidc.X]``."""

    def __init__(self, name: str, settings: OidcSettings, ca_file: Path | None = None) -> None:
        self._name, self._settings = name, settings
        self.source, self.label = f"oidc:{name}", settings.label or LABELS.get(name, name)
        self._http = IdentityHttp(self.label, settings.timeout, ca_file)
        self._keys = OidcKeys(name, self._asked_keys)
        self._known: dict[str, Any] | None = None
        self._until = 0.0
        self._away_until = 0.0

    async def leads(self, begun: Begun, back: str) -> str:
        """See ``IdentityProvider``."""
        where = self._endpoint(await self._discovered(), "authorization_endpoint")
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": back,
            "scope": " ".join(self._settings.asked_scopes),
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": begun.challenge,
            "code_challenge_method": "S256",
        }
        return f"{where}{'&' if urlsplit(where).query else '?'}{urlencode(asked)}"

    async def person(self, begun: Begun, code: str, back: str) -> Person:
        """See ``IdentityProvider``."""
        document = await self._discovered()
        tokens = await self._exchanged(document, begun, code, back)
        identity, access = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(identity, str):
            raise self._invalid("no id_token")
        settings = self._settings
        try:
            claims = await self._keys.verified(identity, settings.issuer, (settings.client_id,))
            for_client(claims, settings.client_id, begun.nonce)
        except Invalid as error:
            raise self._invalid(str(error)) from error
        if settings.userinfo and isinstance(access, str):
            claims = await self._told_more(document, claims, access)
        return person_of(settings, claims)

    async def bearer(self, token: str) -> Person | None:
        """See ``IdentityProvider``."""
        settings = self._settings
        if issuer_of(token) != settings.issuer:
            return None
        try:
            claims = await self._keys.verified(token, settings.issuer, (settings.client_id, *settings.audience))
            for_access(token, claims)
            return person_of(settings, claims)
        except (Invalid, LoginRefused) as error:
            log.info("oidc_token_refused", provider=self._name, reason=str(error))
            return None

    async def _discovered(self) -> dict[str, Any]:
        """What the provider says of itself, for an hour; what is known counts on while it is away."""
        if self._known is not None and self._until > monotonic():
            return self._known
        if self._known is None and self._away_until > monotonic():
            raise self._http.away()
        try:
            document = (await self._ask(self._settings.issuer.rstrip("/") + DISCOVERY)).document
            if document is None:
                raise self._http.away()
            if document.get("issuer") != self._settings.issuer:
                log.error("oidc_issuer_differs", provider=self._name)
                raise DirectoryUnavailable(
                    f"{self.label} names itself by another issuer than oidc.{self._name}.issuer: correct one of them."
                )
        except DirectoryUnavailable:
            log.warning("oidc_discovery_failed", provider=self._name)
            self._away_until = monotonic() + AWAY_SECONDS
            if self._known is None:
                raise
            self._until = self._away_until
            return self._known
        self._known, self._until = document, monotonic() + KEPT_SECONDS
        return document

    def _endpoint(self, document: dict[str, Any], name: str) -> str:
        found = document.get(name)
        schemes = ("https",) if urlsplit(self._settings.issuer).scheme == "https" else ("https", "http")
        if not isinstance(found, str) or urlsplit(found).scheme not in schemes or not urlsplit(found).hostname:
            log.error("oidc_endpoint_missing", provider=self._name, endpoint=name)
            raise DirectoryUnavailable(f"{self.label} names no {name} that can be used: look at its discovery document.")
        return found

    async def _asked_keys(self) -> Told:
        if self._settings.jwks_url is not None:
            return await self._http.ask(self._settings.jwks_url)
        return await self._ask(self._endpoint(await self._discovered(), "jwks_uri"))

    async def _exchanged(self, document: dict[str, Any], begun: Begun, code: str, back: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": begun.verifier,
            "client_id": self._settings.client_id,
        }
        if self._settings.client_secret is not None:
            form["client_secret"] = self._settings.client_secret.get_secret_value()
        told = await self._ask(self._endpoint(document, "token_endpoint"), form=form)
        if told.document is not None and "error" not in told.document:
            return told.document
        said = told.body.get("error") if isinstance(told.body, dict) else None
        reason = said if isinstance(said, str) and PLAIN.fullmatch(said) else str(told.status)
        if reason in CLIENT_REFUSED or told.status == 401:
            log.error("oidc_client_refused", provider=self._name, reason=reason)
            raise DirectoryUnavailable(f"{self.label} refuses Pilothouse itself: correct oidc.{self._name}.client_secret.")
        raise self._invalid(reason)

    async def _told_more(self, document: dict[str, Any], claims: dict[str, Any], access: str) -> dict[str, Any]:
        """The claims, and what userinfo adds for the same subject (OpenID Connect Core 1.0, 5.3.2)."""
        more = (await self._ask(self._endpoint(document, "userinfo_endpoint"), token=access)).document
        if more is None or more.get("sub") != claims["sub"]:
            raise self._invalid("userinfo")
        return more | claims

    async def _ask(self, url: str, *, form: dict[str, str] | None = None, token: str | None = None) -> Told:
        outward = self._settings.outward(url)
        host = urlsplit(url).netloc if outward != url else None
        return await self._http.ask(outward, form=form, token=token, host=host)

    def _invalid(self, reason: str) -> LoginRefused:
        log.warning("oidc_login_refused", provider=self._name, reason=reason)
        return LoginRefused(f"{self.label}'s answer could not be taken: log in again.", "invalid")
