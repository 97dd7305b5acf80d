"""Tokens: made, listed, revoked, and checked on every request without a query for each.

A token reads ``ph_<id>_<secret>``. The secret is 32 random bytes, so one SHA-256 of it is kept and no slow password hash is
needed; the id finds the row, the hash is compared in constant time.
"""

import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from time import monotonic

from sqlalchemy import ColumnElement, DateTime, ForeignKey, Text, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from core.audit.entry import OURSELVES, By
from core.errors import InputInvalid, NotFound
from core.store.audit import noted
from core.store.base import Base, Store
from core.store.workspaces import WorkspaceRow
from core.workspaces import DEFAULT

SAID_ALONE = frozenset({"flows:restore", "flows:guarded_change"})
"""Flows that replace what is there: a token for all flows may not trigger them."""
SCOPES = ("chat", "tools", "plugin", "alerts", "heartbeat", "read", "admin")
FLOW_SCOPE = re.compile(r"flows:([A-Za-z0-9_-]{1,100}|\*)")
FRESH_SECONDS = 5.0
"""How long a verified token is believed without asking again, and so how long another process may take to see a revocation."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a request's token stands for."""

    token_id: str
    name: str
    scopes: frozenset[str]
    workspace: str = DEFAULT
    """Whose work its requests are."""
    places: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The scopes it has in each workspace that it may choose."""

    def entering(self, workspace: str) -> "Principal | None":
        """The same in another workspace; None where it is not in that. An administrator is in all."""
        if workspace == self.workspace:
            return self
        if "admin" in self.scopes:
            return replace(self, workspace=workspace)
        scopes = self.places.get(workspace)
        return None if scopes is None else replace(self, workspace=workspace, scopes=scopes)

    def allows(self, scope: str) -> bool:
        """``admin`` allows everything, ``flows:*`` every ``flows:NAME`` but those of ``SAID_ALONE``."""
        by_any = scope.startswith("flows:") and scope not in SAID_ALONE and "flows:*" in self.scopes
        return scope in self.scopes or "admin" in self.scopes or by_any


@dataclass(frozen=True, slots=True)
class Token:
    """What may be shown of a token."""

    id: str
    name: str
    scopes: tuple[str, ...]
    workspace: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @property
    def status(self) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if _past(self.expires_at) else "active"


class TokenRow(Base):
    """A token without its secret. ``last_used_at`` is true to the minute."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    hash: Mapped[bytes] = mapped_column(BYTEA)
    name: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    workspace: Mapped[str] = mapped_column(ForeignKey(WorkspaceRow.name), server_default="default")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


SHOWN = (
    TokenRow.id,
    TokenRow.name,
    TokenRow.scopes,
    TokenRow.workspace,
    TokenRow.created_at,
    TokenRow.expires_at,
    TokenRow.revoked_at,
    TokenRow.last_used_at,
)

# One round trip: read the token, and note its use if the secret is right and the last note is a minute old.
LOOK_UP = text(
    "WITH used AS (UPDATE pilothouse.tokens SET last_used_at = now() WHERE id = :id AND hash = :hash AND revoked_at IS NULL"
    " AND (expires_at IS NULL OR expires_at > now())"
    " AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute'))"
    " SELECT hash, name, scopes, expires_at, workspace FROM pilothouse.tokens WHERE id = :id AND revoked_at IS NULL"
)


@dataclass(frozen=True, slots=True)
class _Known:
    """A row as it was read at ``read_at`` (monotonic)."""

    hash: bytes
    principal: Principal
    expires_at: datetime | None
    read_at: float


class Tokens:
    """All tokens: those in the table, and ``AUTH_TOKEN`` as one more of scope ``plugin``."""

    def __init__(self, store: Store, auth_token: str | None = None) -> None:
        self._store = store.system
        self._auth_hash = sha256(auth_token.encode()).digest() if auth_token else None
        self._known: dict[str, _Known] = {}

    async def create(
        self,
        name: str,
        scopes: Iterable[str],
        expires_at: datetime | None = None,
        workspace: str = DEFAULT,
        by: By = OURSELVES,
    ) -> tuple[Token, str]:
        """A new token and its plaintext, which cannot be had again. Raises ``InputInvalid``, and ``NotFound`` for a workspace
        that there is not. ``by``: who makes it, for the audit log."""
        name, wanted = _checked_name(name), checked_scopes(scopes)
        if _past(expires_at):
            raise InputInvalid("The token would have expired already: give a time to come.", field="expires_at")
        token_id, secret = secrets.token_hex(5), secrets.token_urlsafe(32)
        values = {
            "id": token_id,
            "hash": sha256(secret.encode()).digest(),
            "name": name,
            "scopes": wanted,
            "expires_at": expires_at,
            "workspace": workspace,
        }
        try:
            async with self._store.begin() as connection:
                row = (await connection.execute(insert(TokenRow).values(values).returning(*SHOWN))).one()
                said = {"name": name, "scopes": wanted, "workspace": workspace, "expiresAt": expires_at}
                await noted(connection, by.entry("token.created", "success", token_id, **said))
        except IntegrityError as error:
            raise NotFound("No such workspace; `pilothouse workspace list` shows those there are.", field="workspace") from error
        return _token(row._tuple()), f"ph_{token_id}_{secret}"

    async def list(self, workspaces: Collection[str] | None = None, *, all_scopes: bool = True) -> list[Token]:
        """Every token, newest first, revoked and expired ones included; of these workspaces, and without those of scope
        ``admin``, which are the installation's."""
        wanted = select(*SHOWN).where(*_of(workspaces, all_scopes)).order_by(TokenRow.created_at.desc(), TokenRow.id)
        async with self._store.single() as connection:
            return [_token(row._tuple()) for row in await connection.execute(wanted)]

    async def revoke(
        self, token_id: str, by: By = OURSELVES, workspaces: Collection[str] | None = None, *, all_scopes: bool = True
    ) -> Token:
        """End a token of those that ``list`` gives: here at once, in other processes within ``FRESH_SECONDS``. Raises
        ``NotFound``."""
        async with self._store.begin() as connection:
            ended = update(TokenRow).where(TokenRow.id == token_id, *_of(workspaces, all_scopes))
            revoked_at = func.coalesce(TokenRow.revoked_at, func.now())
            row = (await connection.execute(ended.values(revoked_at=revoked_at).returning(*SHOWN))).one_or_none()
            if row is not None:
                await noted(connection, by.entry("token.revoked", "success", token_id, name=row.name))
        self._known.pop(token_id, None)
        if row is None:
            raise NotFound("No such token; `pilothouse token list` shows the ids.")
        return _token(row._tuple())

    async def verify(self, plaintext: str) -> Principal | None:
        """Whom the token stands for, or None: malformed, unknown, wrong, expired and revoked look the same from outside."""
        if self._auth_hash is not None and compare_digest(sha256(plaintext.encode("utf-8", "replace")).digest(), self._auth_hash):
            return AUTH_TOKEN
        prefix, _, rest = plaintext.partition("_")
        token_id, _, secret = rest.partition("_")
        if prefix != "ph" or not secret or not token_id.isalnum() or not plaintext.isascii() or len(plaintext) > 200:
            return None
        digest = sha256(secret.encode()).digest()
        known = self._known.get(token_id)
        if known is None or known.read_at + FRESH_SECONDS < monotonic():
            known = await self._look_up(token_id, digest)
        if known is None or not compare_digest(known.hash, digest) or _past(known.expires_at):
            return None
        return known.principal

    async def _look_up(self, token_id: str, digest: bytes) -> _Known | None:
        async with self._store.single() as connection:
            row = (await connection.execute(LOOK_UP, {"id": token_id, "hash": digest})).one_or_none()
        if row is None:
            self._known.pop(token_id, None)
            return None
        principal = Principal(token_id, row.name, frozenset(row.scopes), row.workspace)
        known = self._known[token_id] = _Known(bytes(row.hash), principal, row.expires_at, monotonic())
        return known


AUTH_TOKEN = Principal("auth-token", "AUTH_TOKEN", frozenset({"plugin"}))


def checked_scopes(scopes: Iterable[str]) -> list[str]:
    """The scopes in order and once each. Raises ``InputInvalid`` for none and for an unknown one."""
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in SCOPES and not FLOW_SCOPE.fullmatch(scope)]
    if unknown or not wanted:
        known = ", ".join((*SCOPES, "flows:NAME", "flows:*"))
        raise InputInvalid(f"{'Unknown scope' if unknown else 'A token needs a scope'}: choose from {known}.", field="scopes")
    return wanted


def _of(workspaces: Collection[str] | None, all_scopes: bool) -> Iterator[ColumnElement[bool]]:
    if workspaces is not None:
        yield TokenRow.workspace.in_(workspaces)
    if not all_scopes:
        yield ~TokenRow.scopes.contains(["admin"])


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise InputInvalid("A token's name has 1 to 100 printable characters.", field="name")
    return name


def _past(moment: datetime | None) -> bool:
    return moment is not None and moment <= datetime.now(UTC)


def _token(row: tuple[str, str, list[str], str, datetime, datetime | None, datetime | None, datetime | None]) -> Token:
    token_id, name, scopes, workspace, created_at, expires_at, revoked_at, last_used_at = row
    return Token(token_id, name, tuple(scopes), workspace, created_at, expires_at, revoked_at, last_used_at)
