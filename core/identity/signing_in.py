"""Logging in: who it is, how often they may guess, what they get for it, and how that is renewed and taken back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

import structlog

from core.audit.entry import By, Entry, Outcome
from core.errors import LoginRefused, TooManyAttempts, Unauthorized
from core.identity.access_tokens import AccessTokens
from core.identity.directory import Directory, Person, names_of
from core.identity.passwords import Passwords
from core.identity.remembered import FRESH_SECONDS, Remembered
from core.settings_access import AccessSettings, Role
from core.store.access import Principal
from core.store.base import Store
from core.store.logins import Guesses, Kind, Logins, Reused, Standing, login_of
from core.store.members import Members
from core.store.users import LOCAL, User, Users
from core.workspaces import DEFAULT

log = structlog.get_logger(__name__)

REMEMBERED = 10_000
PER_ACCOUNT, PER_ADDRESS = 10, 20
"""Times ``attempts`` that one account may be guessed wrong from anywhere, and one address for any account."""
SCOPES: dict[Role, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "member": frozenset({"read", "chat", "tools"}),
    "operator": frozenset({"read", "chat", "tools", "plugin", "alerts", "heartbeat", "flows:*"}),
    "admin": frozenset({"admin"}),
}
MANAGE = "manage"
"""The scope to let people and programs into a workspace: its administrators have it there, and no token ever."""
SCOPES_THERE: dict[Role, frozenset[str]] = SCOPES | {"admin": SCOPES["operator"] | {MANAGE}}
"""What a role in a workspace allows. Its administrator is not the installation's."""
WRONG = "The name or the password is not right."


@dataclass(frozen=True, slots=True)
class Login:
    """What somebody has who logged in: a short-lived access token, and what renews it. ``renewal`` is a cookie for browsers."""

    user: User
    access: str
    access_ends: datetime
    renewal: str


async def _nowhere(_: Entry) -> None:
    """Where nobody keeps an audit log."""


class SigningIn:
    """Logins of this process. ``directories`` are asked in order where our own table does not know the name."""

    def __init__(
        self,
        store: Store,
        settings: AccessSettings,
        signs: AccessTokens,
        directories: Sequence[Directory] = (),
        keep: Callable[[Entry], Awaitable[None]] = _nowhere,
        directory_seconds: float = 0.0,
    ) -> None:
        self._users = Users(store)
        self._members = Members(store)
        self._logins = Logins(store, settings.login_days)
        self._guesses = Guesses(store, settings.lockout_minutes)
        self._attempts = settings.attempts
        self.passwords = Passwords()
        self._signs = signs
        self._keep = keep
        """Returns when the entry is in the audit log."""
        self._directories = directories
        self._standing: dict[str, tuple[float, Standing | None]] = {}
        """By login id, or by a browser's cookie: when it was asked, and whose it is."""
        self._basic = Remembered(directory_seconds)

    def close(self) -> None:
        """End the threads."""
        self.passwords.close()

    async def log_in(self, username: str, password: str, kind: Kind, address: str, agent: str = "") -> Login:
        """Raises ``Unauthorized``, ``TooManyAttempts``, and ``DirectoryUnavailable`` where only one that is away could tell."""
        return await self._begun(await self.who(username, password, address), kind, address, agent)

    async def let_in(self, source: str, person: Person, kind: Kind, address: str, agent: str = "") -> Login:
        """A login of somebody for whom another provider vouches. Raises ``LoginRefused`` for one who is disabled here."""
        user = await self._met(source, person)
        if user.disabled:
            await self.refused(source, address, "disabled", user)
            raise LoginRefused("This account is disabled here: an administrator can let it in again.", "disabled")
        return await self._begun(user, kind, address, agent)

    async def refused(self, source: str, address: str, reason: str, user: User | None = None) -> None:
        """Note that a login by another provider came to nothing."""
        log.warning("login_refused", client=address, source=source, reason=reason)
        known = {"actor": f"user:{user.id}", "actor_name": user.login} if user is not None else {}
        await self._keep(Entry("login", "failure", address=address, details={"source": source, "reason": reason}, **known))

    async def vouched(self, source: str, person: Person) -> Principal | None:
        """What somebody may do for whom another provider's token speaks; None for one who is disabled here."""
        user = await self._met(source, person)
        return None if user.disabled else principal(await self._standing_of(user))

    async def _met(self, source: str, person: Person) -> User:
        user = await self._users.met(source, person.subject, person.email, person.name, person.role)
        settled = await self._members.settle(user.id, names_of(source, person.groups), person.places)
        if settled.changed:
            self.forget()
        return user

    async def _standing_of(self, user: User) -> Standing:
        places = (await self._members.of(user.id))[user.id]
        return Standing(user.id, user.role, user.name, places, user.login, user.email)

    async def _begun(self, user: User, kind: Kind, address: str, agent: str) -> Login:
        login, renewal = await self._logins.start(user.id, kind, address, agent)
        access, ends = self._signs.sign(user.id, login, user.role)
        log.info("logged_in", user=user.id, source=user.source, login=login, client=address)
        await self._keep(_entry("login", "success", user, address, kind=kind, login=login))
        return Login(user, access, ends, renewal)

    async def who(self, username: str, password: str, address: str) -> User:
        """The user of that name and password. Raises as ``log_in`` does."""
        name = username.strip().lower()[:254]
        if not name or "\0" in name:
            raise Unauthorized(WRONG)
        self.passwords.require_room()
        here, account, anywhere = f"{name} from {address}", f"account {name}", f"address {address}"
        until, guessed = await self._guesses.blocked([here, account, anywhere])
        if until is not None:
            wait = max(1.0, (until - datetime.now(UTC)).total_seconds())
            await self._keep(Entry("login", "failure", address=address, details={"waits": round(wait)}))
            raise TooManyAttempts(f"Too many wrong passwords: try again in {wait:.0f} s.", retry_after=wait)
        user = await self._checked(name, password)
        if user is None or user.disabled:
            limits = {here: self._attempts, account: self._attempts * PER_ACCOUNT, anywhere: self._attempts * PER_ADDRESS}
            await self._guesses.wrong(limits)
            log.warning("login_refused", client=address, disabled=user is not None)
            # What was typed is told only as far as it is an address: some type their password where the name goes.
            typed = name if "@" in name or user is not None else ""
            await self._keep(Entry("login", "failure", actor_name=typed, address=address, details={"disabled": user is not None}))
            raise Unauthorized(WRONG)
        if guessed:
            await self._guesses.right(here)
        return user

    async def of_basic(self, username: str, password: str, address: str) -> Standing:
        """Whose name and password each request of a program carries; believed for some seconds. Raises as ``log_in`` does."""
        key = self._basic.key(username, password, address)
        if (known := self._basic.get(key)) is not None:
            return known
        user = await self.who(username, password, address)
        if self._basic.is_news(user.id, address):
            await self._users.logged_in(user.id)
            await self._keep(_entry("login", "success", user, address, kind="basic"))
        standing = await self._standing_of(user)
        self._basic.put(key, standing, local=user.source == LOCAL)
        return standing

    async def renew(self, token: str, address: str) -> Login:
        """Another access token, and the refresh token that follows the one used up. Raises ``Unauthorized``."""
        try:
            renewed = await self._logins.renew(token)
        except Reused as error:
            log.warning("refresh_token_used_twice", user=error.user_id, client=address)
            await self._keep(Entry("login.reused", "failure", actor=f"user:{error.user_id}", address=address))
            raise Unauthorized("This refresh token was used before: the login has ended. Log in again.") from None
        if renewed is None:
            raise Unauthorized("The refresh token is not valid: unknown, expired or logged out. Log in again.")
        user_id, login, following = renewed
        user = await self._users.get(user_id)
        if user.disabled:
            raise Unauthorized("This account is disabled.")
        access, ends = self._signs.sign(user.id, login, user.role)
        return Login(user, access, ends, following)

    async def of_access_token(self, token: str) -> Principal | None:
        """Whom an access token stands for; None for one that is not valid, and once its login has ended."""
        claims = self._signs.verify(token)
        if claims is None:
            return None
        standing = await self._stands(claims.login_id, None)
        return principal(standing) if standing is not None and standing.user_id == claims.user_id else None

    async def of_cookie(self, cookie: str) -> Principal | None:
        """The same for a browser's cookie, whose login then lasts anew."""
        standing = await self.standing(cookie)
        return principal(standing) if standing is not None else None

    async def standing(self, cookie: str) -> Standing | None:
        """Whose login a browser's cookie is, as they were within the last seconds."""
        login = login_of(cookie)
        return await self._stands(login, cookie) if login is not None else None

    async def log_out(self, token: str, address: str = "") -> None:
        """End the login of an access token, a refresh token or a cookie; of one that is not valid nothing is said."""
        claims = self._signs.verify(token)
        login = claims.login_id if claims is not None else login_of(token)
        if login is None:
            return
        if claims is None and not await self._holds(login, token):
            return
        ended = await self._logins.end(login)
        self.forget()
        if ended is not None:
            user_id, name = ended
            await self._keep(By(f"user:{user_id}", name, address).entry("logout", "success", login))

    def forget(self) -> None:
        """Believe nothing any more of what was known of logins: one of them was changed."""
        self._standing.clear()
        self._basic.clear()

    async def _holds(self, login: str, token: str) -> bool:
        if token.startswith("phs_"):
            return await self._logins.standing(login, token) is not None
        return await self._logins.holds(login, token)

    async def _checked(self, name: str, password: str) -> User | None:
        found = await self._users.with_password(name)
        if found is not None or not self._directories:
            user, hashed = found or (None, None)
            if not await self.passwords.matches(password, hashed) or user is None or hashed is None:
                return None
            if self.passwords.is_old(hashed):
                await self._users.logged_in(user.id, await self.passwords.hash(password))
            return user
        for directory in self._directories:
            if password and (person := await directory.person(name, password)) is not None:
                return await self._met(directory.source, person)
        return None

    async def _stands(self, login: str, cookie: str | None) -> Standing | None:
        key = cookie or login
        asked, standing = self._standing.get(key, (0.0, None))
        if asked + FRESH_SECONDS < monotonic() or not asked:
            standing = await self._logins.standing(login, cookie)
            if standing is not None and cookie is not None:
                await self._logins.used(login)
            if len(self._standing) >= REMEMBERED:
                self._standing.clear()
            self._standing[key] = (monotonic(), standing)
        return standing


def _entry(action: str, outcome: Outcome, user: User, address: str, **details: str) -> Entry:
    said = {"source": user.source, "role": user.role} | details
    return Entry(action, outcome, actor=f"user:{user.id}", actor_name=user.login, address=address, details=said)


def principal(standing: Standing) -> Principal:
    """What a user may do, and where: in the workspaces that they are in, else with their role in the default one."""
    caller = f"user:{standing.user_id}"
    if standing.role == "admin":
        return Principal(caller, standing.name, SCOPES["admin"])
    scopes = {name: SCOPES_THERE[_role(role)] for name, role in standing.places.items()}
    places = scopes or {DEFAULT: SCOPES[_role(standing.role)]}
    first = DEFAULT if DEFAULT in places else min(places)
    return Principal(caller, standing.name, places[first], first, places)


def role_at(standing: Standing, workspace: str) -> Role:
    """A user's role for programs that know nothing of workspaces: ``admin`` is the installation's administrator alone."""
    role = _role(standing.places.get(workspace, standing.role))
    return "admin" if standing.role == "admin" else "operator" if role == "admin" else role


def _role(name: str) -> Role:
    return name if name in SCOPES else "viewer"
