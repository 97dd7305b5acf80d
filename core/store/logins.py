"""Logins: what each is worth and for how long, its refresh tokens, and how often somebody has guessed wrong.

A refresh token reads ``phr_<login>_<secret>``, a browser's cookie ``phs_<login>_<secret>``; of the secrets, 32 random bytes, one
SHA-256 is kept. A refresh token counts once (RFC 9700, 4.14.2): used again, somebody has a copy, and the whole login ends.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Literal

from sqlalchemy import DateTime, ForeignKey, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.orm import Mapped, mapped_column

from core.ids import new_id
from core.store.base import Base, Store
from core.store.users import UserRow

Kind = Literal["api", "browser"]
PREFIX: dict[Kind, str] = {"api": "phr", "browser": "phs"}


class LoginRow(Base):
    """A login; ``expires_at`` moves with each use."""

    __tablename__ = "logins"
    __table_args__ = (Index("logins_of_user", "user_id"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(UserRow.id, ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)
    agent: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    used_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class LoginToken(Base):
    """A refresh token, or the cookie of a browser's login."""

    __tablename__ = "login_tokens"
    __table_args__ = (Index("login_tokens_of_login", "login_id"),)

    hash: Mapped[bytes] = mapped_column(BYTEA, primary_key=True)
    login_id: Mapped[str] = mapped_column(ForeignKey(LoginRow.id, ondelete="CASCADE"))
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class LoginFailure(Base):
    """Wrong guesses in a row."""

    __tablename__ = "login_failures"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    blocked_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


_START = text("""
    WITH login AS (
        INSERT INTO pilothouse.logins (id, user_id, kind, address, agent, expires_at)
        VALUES (:id, :user, :kind, :address, :agent, now() + make_interval(secs => :lasts)) RETURNING id
    ), seen AS (
        UPDATE pilothouse.users SET last_login_at = now() WHERE id = :user
    )
    INSERT INTO pilothouse.login_tokens (hash, login_id) SELECT :hash, id FROM login
""")
_TOKEN = text("INSERT INTO pilothouse.login_tokens (hash, login_id) VALUES (:hash, :login)")
_USE = text("""
    UPDATE pilothouse.login_tokens t SET used_at = now() FROM pilothouse.logins l
    WHERE t.hash = :hash AND t.login_id = :login AND t.used_at IS NULL AND l.id = t.login_id
        AND l.ended_at IS NULL AND l.expires_at > now() RETURNING l.user_id
""")
_END_REUSED = text("""
    UPDATE pilothouse.logins SET ended_at = now()
    WHERE id = :login AND ended_at IS NULL
        AND EXISTS (SELECT FROM pilothouse.login_tokens WHERE hash = :hash AND login_id = :login AND used_at IS NOT NULL)
    RETURNING user_id
""")
_EXTEND = text(
    "UPDATE pilothouse.logins SET used_at = now(), expires_at = now() + make_interval(secs => :lasts) WHERE id = :login"
)
_STANDS = text("""
    SELECT u.id, u.role, u.name, u.login, u.email,
        (SELECT jsonb_object_agg(m.workspace, m.role) FROM pilothouse.members m WHERE m.user_id = u.id) AS places
    FROM pilothouse.logins l JOIN pilothouse.users u ON u.id = l.user_id
    WHERE l.id = :login AND l.ended_at IS NULL AND l.expires_at > now() AND NOT u.disabled
        AND (CAST(:hash AS bytea) IS NULL OR EXISTS (SELECT FROM pilothouse.login_tokens WHERE hash = :hash AND login_id = l.id))
""")
_BLOCKED = text("""
    SELECT max(blocked_until) FILTER (WHERE blocked_until > now()), coalesce(bool_or(key = :first), false)
    FROM pilothouse.login_failures WHERE key = ANY(:keys)
""")
_WRONG = text("""
    INSERT INTO pilothouse.login_failures AS f (key, failures, at) VALUES (:key, 1, now())
    ON CONFLICT (key) DO UPDATE SET
        failures = CASE WHEN f.at < now() - make_interval(secs => :forget) THEN 1 ELSE f.failures + 1 END, at = now(),
        blocked_until = CASE WHEN f.failures + 1 >= :attempts AND f.at >= now() - make_interval(secs => :forget)
            THEN now() + make_interval(secs => least(:longest, 60 * power(2, least(f.failures + 1 - :attempts, 20)))) END
""")


@dataclass(frozen=True, slots=True)
class Standing:
    """Whose login it is, as the user is now."""

    user_id: str
    role: str
    name: str
    places: Mapping[str, str] = field(default_factory=dict)
    """The role in each workspace that they are in."""
    login: str = ""
    email: str = ""


class Reused(Exception):
    """A refresh token came a second time; its login of ``user_id`` has ended."""

    def __init__(self, user_id: str) -> None:
        super().__init__(user_id)
        self.user_id = user_id


class Logins:
    """Questions about logins. ``days``: how long one lasts that nobody uses."""

    def __init__(self, store: Store, days: float) -> None:
        self._store = store.system
        self._lasts = days * 86_400

    async def start(self, user_id: str, kind: Kind, address: str, agent: str) -> tuple[str, str]:
        """A new login's id and its first token."""
        login = new_id()
        token, hashed = _made(kind, login)
        values = {
            "id": login,
            "user": user_id,
            "kind": kind,
            "address": address[:100],
            "agent": agent[:300],
            "lasts": self._lasts,
            "hash": hashed,
        }
        async with self._store.single() as connection:
            await connection.execute(_START, values)
        return login, token

    async def renew(self, token: str) -> tuple[str, str, str] | None:
        """Use a refresh token up: user id, login id and the next token; None for one that does not count. Raises ``Reused``."""
        read = _read("api", token)
        if read is None:
            return None
        login, hashed = read
        following, following_hash = _made("api", login)
        async with self._store.begin() as connection:
            user = (await connection.execute(_USE, {"hash": hashed, "login": login})).scalar_one_or_none()
            if user is not None:
                await connection.execute(_TOKEN, {"hash": following_hash, "login": login})
                await connection.execute(_EXTEND, {"login": login, "lasts": self._lasts})
                return user, login, following
            robbed = (await connection.execute(_END_REUSED, {"hash": hashed, "login": login})).scalar_one_or_none()
        if robbed is not None:
            raise Reused(robbed)
        return None

    async def standing(self, login: str, cookie: str | None = None) -> Standing | None:
        """Whose login it is, while it lasts and the user may; with a browser's ``cookie`` only if that is the right one."""
        hashed = None
        if cookie is not None:
            read = _read("browser", cookie)
            if read is None:
                return None
            login, hashed = read
        async with self._store.single() as connection:
            row = (await connection.execute(_STANDS, {"login": login, "hash": hashed})).one_or_none()
        return None if row is None else Standing(row.id, row.role, row.name, row.places or {}, row.login, row.email)

    async def holds(self, login: str, token: str) -> bool:
        """Whether a refresh token is one of that login's, used or not."""
        read = _read("api", token)
        if read is None or read[0] != login:
            return False
        asked = text("SELECT EXISTS (SELECT FROM pilothouse.login_tokens WHERE hash = :hash AND login_id = :login)")
        async with self._store.single() as connection:
            return bool((await connection.execute(asked, {"hash": read[1], "login": login})).scalar())

    async def used(self, login: str) -> None:
        """It lasts from now on anew."""
        async with self._store.single() as connection:
            await connection.execute(_EXTEND, {"login": login, "lasts": self._lasts})

    async def end(self, login: str) -> tuple[str, str] | None:
        """Log out; whose login that was, by id and by what they log in with; None where it had ended before."""
        ended = text(
            "UPDATE pilothouse.logins l SET ended_at = now() FROM pilothouse.users u"
            " WHERE l.id = :login AND l.ended_at IS NULL AND u.id = l.user_id RETURNING u.id, u.login"
        )
        async with self._store.single() as connection:
            row = (await connection.execute(ended, {"login": login})).one_or_none()
        return None if row is None else (row.id, row.login)

    async def forget(self, days: float) -> int:
        """Delete what has been over for ``days``; how many logins."""
        old = text("DELETE FROM pilothouse.logins WHERE coalesce(ended_at, expires_at) < now() - make_interval(days => :days)")
        async with self._store.single() as connection:
            await connection.execute(text("DELETE FROM pilothouse.login_failures WHERE at < now() - interval '1 day'"))
            return (await connection.execute(old, {"days": int(days)})).rowcount


class Guesses:
    """How often a key (an account, from an address) was guessed wrong, and until when it has to wait."""

    def __init__(self, store: Store, lockout_minutes: float) -> None:
        self._store = store.system
        self._longest = lockout_minutes * 60

    async def blocked(self, keys: list[str]) -> tuple[datetime | None, bool]:
        """Until when all of them have to wait, None when none has to; and whether anybody has guessed at the first at all."""
        async with self._store.single() as connection:
            until, guessed = (await connection.execute(_BLOCKED, {"keys": keys, "first": keys[0]})).one()._tuple()
        return until, guessed

    async def wrong(self, limits: dict[str, int]) -> None:
        """One more wrong guess for each key, which has to wait from its limit on."""
        rows = [
            {"key": key, "attempts": most, "longest": self._longest, "forget": max(self._longest * 2, 900.0)}
            for key, most in limits.items()
        ]
        async with self._store.begin() as connection:
            await connection.execute(_WRONG, rows)

    async def right(self, key: str) -> None:
        """The right password: what was guessed before counts no more."""
        async with self._store.single() as connection:
            await connection.execute(text("DELETE FROM pilothouse.login_failures WHERE key = :key"), {"key": key})


def login_of(token: str) -> str | None:
    """The login's id in a refresh token or cookie."""
    parts = token.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] in PREFIX.values() else None


def _made(kind: Kind, login: str) -> tuple[str, bytes]:
    secret = secrets.token_urlsafe(32)
    return f"{PREFIX[kind]}_{login}_{secret}", sha256(secret.encode()).digest()


def _read(kind: Kind, token: str) -> tuple[str, bytes] | None:
    prefix, _, rest = token.partition("_")
    login, _, secret = rest.partition("_")
    if prefix != PREFIX[kind] or not login or not secret or not token.isascii() or len(token) > 200:
        return None
    return login, sha256(secret.encode()).digest()
