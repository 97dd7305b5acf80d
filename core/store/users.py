"""Users: who they are, what they may do, and which directory vouches for them. How they log in is in ``logins``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Boolean, DateTime, Text, UniqueConstraint, bindparam, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from core.audit.entry import OURSELVES, By
from core.errors import Conflict, InputInvalid, NotFound
from core.ids import new_id
from core.settings_access import ROLES, Role
from core.store.audit import noted
from core.store.base import Base, Store

LOCAL = "local"
"""``source`` of accounts whose password is ours; ``ldap`` and the like name who else knows it."""


class UserRow(Base):
    """A user. ``login`` is what is typed, in lower case; unique within a source."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("source", "login"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    login: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    password: Mapped[str | None] = mapped_column(Text)
    disabled: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    last_login_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class User:
    """What may be shown of a user."""

    id: str
    source: str
    login: str
    email: str
    name: str
    role: Role
    disabled: bool
    created_at: datetime
    last_login_at: datetime | None


SHOWN = tuple(getattr(UserRow, name) for name in User.__dataclass_fields__)
_MET = text("""
    INSERT INTO pilothouse.users (id, source, login, email, name, role, last_login_at)
    VALUES (:id, :source, :login, :email, :name, :role, now())
    ON CONFLICT (source, login) DO UPDATE
        SET email = EXCLUDED.email, name = EXCLUDED.name, role = EXCLUDED.role, last_login_at = now()
    RETURNING id, source, login, email, name, role, disabled, created_at, last_login_at
""")
_WITH_PASSWORD = select(*SHOWN, UserRow.password).where(UserRow.source == LOCAL, UserRow.login == bindparam("login"))
_END_ALL = text("UPDATE pilothouse.logins SET ended_at = now() WHERE user_id = :id AND ended_at IS NULL")
_ADMINS = select(func.count()).select_from(UserRow).where(UserRow.role == "admin", UserRow.disabled.is_(False))


class Users:
    """Questions about users."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def create(self, email: str, name: str, role: str, password: str | None, by: By = OURSELVES) -> User:
        """A new local account; ``password`` is hashed already. Raises ``Conflict`` where the address is taken.

        ``by``: who makes it, for the audit log.
        """
        login = email.strip().lower()
        if login.count("@") != 1 or not 3 <= len(login) <= 254 or any(mark.isspace() for mark in login):
            raise InputInvalid("An account needs an e-mail address such as ann@example.com.", field="email")
        values = {"id": new_id(), "source": LOCAL, "login": login, "email": email.strip(), "name": _name(name or login)}
        try:
            async with self._store.begin() as connection:
                made = insert(UserRow).values(values | {"role": checked_role(role), "password": password}).returning(*SHOWN)
                user = _user((await connection.execute(made)).one()._tuple())
                await noted(connection, by.entry("user.created", "success", f"user:{user.id}", login=user.login, role=user.role))
        except IntegrityError as error:
            raise Conflict("There is an account with this e-mail address already.", field="email") from error
        return user

    async def met(self, source: str, login: str, email: str, name: str, role: Role) -> User:
        """Someone whom a directory vouches for, made or brought up to date. ``disabled`` stays as an administrator set it."""
        values = {"id": new_id(), "source": source, "login": login.lower(), "email": email, "name": name or login, "role": role}
        async with self._store.single() as connection:
            return _user((await connection.execute(_MET, values)).one()._tuple())

    async def with_password(self, login: str) -> tuple[User, str | None] | None:
        """The local account of that login, and the hash of its password."""
        async with self._store.single() as connection:
            row = (await connection.execute(_WITH_PASSWORD, {"login": login.strip().lower()})).one_or_none()
        return None if row is None else (_user(row._tuple()[:-1]), row.password)

    async def get(self, user_id: str) -> User:
        """Raises ``NotFound``."""
        async with self._store.single() as connection:
            row = (await connection.execute(select(*SHOWN).where(UserRow.id == user_id))).one_or_none()
        if row is None:
            raise _unknown()
        return _user(row._tuple())

    async def found(self, email_or_id: str) -> User:
        """By id, or by login in any source where that names one user alone. Raises ``NotFound``."""
        wanted = select(*SHOWN).where((UserRow.id == email_or_id) | (UserRow.login == email_or_id.strip().lower())).limit(2)
        async with self._store.single() as connection:
            rows = (await connection.execute(wanted)).all()
        if len(rows) != 1:
            raise _unknown()
        return _user(rows[0]._tuple())

    async def list(self, limit: int = 200, after: str = "") -> list[User]:
        """Users by login, from the one after ``after`` on."""
        wanted = select(*SHOWN).where(UserRow.login > after).order_by(UserRow.login, UserRow.id).limit(limit)
        async with self._store.single() as connection:
            return [_user(row._tuple()) for row in await connection.execute(wanted)]

    async def any(self) -> bool:
        """Whether there is a user at all."""
        async with self._store.single() as connection:
            return (await connection.execute(select(UserRow.id).limit(1))).first() is not None

    async def change(
        self,
        user_id: str,
        *,
        role: str | None = None,
        disabled: bool | None = None,
        password: str | None = None,
        by: By = OURSELVES,
    ) -> User:
        """Change what is given, and end the user's logins. ``password`` is hashed already. Raises ``NotFound`` and ``Conflict``.

        The last administrator who can log in stays one.
        """
        given = {"role": role and checked_role(role), "disabled": disabled, "password": password}
        values = {key: value for key, value in given.items() if value is not None}
        if not values:
            return await self.get(user_id)
        async with self._store.begin() as connection:
            # One change at a time, so that two administrators cannot take the role from each other.
            await connection.execute(text("LOCK TABLE pilothouse.users IN SHARE ROW EXCLUSIVE MODE"))
            before = (await connection.execute(_ADMINS)).scalar()
            changed = update(UserRow).where(UserRow.id == user_id).values(values).returning(*SHOWN)
            row = (await connection.execute(changed)).one_or_none()
            if row is None:
                raise _unknown()
            if before and not (await connection.execute(_ADMINS)).scalar():
                raise Conflict("This is the last administrator: make another one first.")
            await connection.execute(_END_ALL, {"id": user_id})
            said = {name: "changed" if name == "password" else value for name, value in values.items()}
            user = _user(row._tuple())
            await noted(connection, by.entry("user.changed", "success", f"user:{user_id}", login=user.login, **said))
        return user

    async def logged_in(self, user_id: str, password: str | None = None) -> None:
        """Note that it has logged in, and its hash where that was made anew."""
        values = {"last_login_at": func.now()} | ({"password": password} if password is not None else {})
        async with self._store.single() as connection:
            await connection.execute(update(UserRow).where(UserRow.id == user_id).values(values))


def checked_role(role: str) -> Role:
    """Raises ``InputInvalid`` for a role that there is not."""
    if role not in ROLES:
        raise InputInvalid(f"Unknown role: choose from {', '.join(ROLES)}.", field="role")
    return role


def _name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise InputInvalid("A name has 1 to 200 printable characters.", field="name")
    return name


def _unknown() -> NotFound:
    return NotFound("No such user; `pilothouse user list` shows them.")


def _user(row: Sequence[object]) -> User:
    return User(*row)  # type: ignore[arg-type]  # the columns in the order of the fields
