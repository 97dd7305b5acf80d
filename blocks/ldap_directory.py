"""A company's LDAP directory or Active Directory: finds a user, and lets the directory itself judge the password.

Search, then bind (RFC 4513): our own account looks the name up, and the password is right when the directory takes it for the
entry found. An empty password would be an anonymous bind, which succeeds, so it never gets that far.
"""

import asyncio
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Any, Literal
from urllib.parse import urlsplit

import structlog
from ldap3 import BASE, NONE, SUBTREE, SYNC, Connection, Server
from ldap3.core.exceptions import LDAPBindError, LDAPException, LDAPInvalidFilterError
from ldap3.utils.conv import escape_filter_chars

from blocks.ldap_trust import LdapTrust
from core.config import Settings
from core.errors import DirectoryUnavailable
from core.identity.directory import Person, places_of
from core.identity.fastgpt_ldap import merged
from core.settings_access import ROLES, LdapSettings, Role

log = structlog.get_logger(__name__)

AT_ONCE = 16
DISABLED = 0x2
"""The bit of Active Directory's ``userAccountControl``; [MS-ADTS] 2.2.16."""
LOCKS = ("nsAccountLock", "pwdAccountLockedTime")
"""What other directories say of accounts that may not log in."""
NAMES = ("sAMAccountName", "uid")
"""What names a user for good, whatever was typed to find them."""
CACHED = 5_000
Scope = Literal["BASE", "SUBTREE"]


class LdapDirectory:
    """Answers who somebody is. Its servers are asked in order; a later one only where an earlier one does not answer."""

    source = "ldap"

    def __init__(self, settings: LdapSettings, ca_file: Path | None = None) -> None:
        self._settings = settings
        self._ca_file = settings.ca_file or ca_file
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ldap")
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, tuple[float, Person]] = {}

    async def person(self, username: str, password: str) -> Person | None:
        """Who it is; None for a wrong name or password and for an account that is disabled or in none of the groups asked for.

        Raises ``DirectoryUnavailable``.
        """
        if not username or not password or "\0" in username + password:
            return None
        key = hmac.digest(self._key, f"{username}\0{password}".encode(), sha256)
        known = self._right.get(key)
        if known is not None and known[0] > monotonic():
            return known[1]
        person = await asyncio.get_running_loop().run_in_executor(self._threads, self._person, username, password)
        if person is not None and self._settings.cache_seconds:
            if len(self._right) >= CACHED:
                self._right.clear()
            self._right[key] = (monotonic() + self._settings.cache_seconds, person)
        return person

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _person(self, username: str, password: str) -> Person | None:
        for url in self._settings.urls:
            try:
                return self._asked(url, username, password)
            except LDAPBindError as error:
                log.error("ldap_search_account_refused", server=url)
                raise DirectoryUnavailable("The directory refuses the account that looks people up: ldap.bind_dn.") from error
            except LDAPException as error:
                log.warning("ldap_server_away", server=url, reason=type(error).__name__)
        raise DirectoryUnavailable("No server of the directory answers; try again in a moment.", retry_after=5)

    def _asked(self, url: str, username: str, password: str) -> Person | None:
        settings, server = self._settings, self._server(url)
        searcher = settings.bind_password.get_secret_value() if settings.bind_password else None
        connection = self._connection(server, settings.bind_dn, searcher)
        try:
            entry = self._entry(connection, username)
            if entry is None or _disabled(entry) or not self._takes(server, entry["dn"], password):
                return None
            groups = _named(self._groups(connection, entry))
            role = self._role(connection, entry["dn"], groups)
        finally:
            _end(connection)
        return None if role is None else self._met(entry, username, groups, role)

    def _server(self, url: str) -> Server:
        parts = urlsplit(url)
        secure = parts.scheme.lower() == "ldaps"
        port, host = parts.port or (636 if secure else 389), parts.hostname or ""
        trust = LdapTrust(host, self._ca_file)
        return Server(host, port, secure, tls=trust, get_info=NONE, connect_timeout=self._settings.timeout)

    def _connection(self, server: Server, dn: str | None, password: str | None) -> Connection:
        """Bound. Raises ``LDAPBindError`` when the directory refuses, other ``LDAPException`` when it does not answer."""
        connection = Connection(
            server,
            dn,
            password,
            client_strategy=SYNC,
            receive_timeout=ceil(self._settings.timeout),  # whole seconds are all it takes
            read_only=True,
            auto_referrals=False,
            raise_exceptions=False,
        )
        try:
            connection.open()
            if self._settings.start_tls and not server.ssl:
                connection.start_tls()
            if not connection.bind():
                raise LDAPBindError(str(connection.result["description"]))
        except BaseException:
            _end(connection)
            raise
        return connection

    def _takes(self, server: Server, dn: str, password: str) -> bool:
        try:
            _end(self._connection(server, dn, password))
        except LDAPBindError:
            return False
        return True

    def _entry(self, connection: Connection, username: str) -> Mapping[str, Any] | None:
        wanted = self._settings.search_filter.replace("{{username}}", escape_filter_chars(username))
        shown = [self._settings.email, self._settings.name, "memberOf", "userAccountControl", *NAMES, *LOCKS]
        found = self._found(connection, self._settings.search_base, wanted, SUBTREE, shown)
        if len(found) > 1:
            log.error("ldap_search_filter_is_ambiguous", found=len(found))
        return found[0] if len(found) == 1 else None

    def _found(
        self, connection: Connection, base: str, wanted: str, scope: Scope, shown: Sequence[str]
    ) -> list[Mapping[str, Any]]:
        try:
            connection.search(
                base,
                wanted if wanted.startswith("(") else f"({wanted})",
                scope,
                attributes=shown,
                size_limit=50,
                time_limit=ceil(self._settings.timeout),
            )
        except LDAPInvalidFilterError as error:
            log.error("ldap_filter_is_malformed")
            raise DirectoryUnavailable("A filter of [ldap] is malformed: correct search_filter or admin_filter.") from error
        return [each for each in connection.response or [] if each.get("type") == "searchResEntry"]

    def _groups(self, connection: Connection, entry: Mapping[str, Any]) -> list[str]:
        """DNs of its groups: as the entry itself tells, else as the groups do."""
        told = _values(entry, "memberOf")
        if not told:
            member = escape_filter_chars(entry["dn"])
            base = self._settings.search_base.partition("DC=")
            wanted = f"(|(member={member})(uniqueMember={member}))"
            told = [each["dn"] for each in self._found(connection, f"{base[1]}{base[2]}" or base[0], wanted, SUBTREE, ["1.1"])]
        return told

    def _role(self, connection: Connection, dn: str, groups: Sequence[str]) -> Role | None:
        """The most that its groups and the filter for administrators say; None for someone who may not log in."""
        names = {group.lower() for group in groups}
        required = self._settings.required_group
        if required is not None and required.lower() not in names:
            return None
        if self._settings.admin_filter and self._found(connection, dn, self._settings.admin_filter, BASE, ["1.1"]):
            return "admin"
        said = [role for group, role in self._settings.groups.items() if group.lower() in names]
        return max([self._settings.role, *said], key=ROLES.index) if said else self._settings.role

    def _met(self, entry: Mapping[str, Any], username: str, groups: tuple[str, ...], role: Role) -> Person:
        email, name = _values(entry, self._settings.email), _values(entry, self._settings.name)
        subject = next((value for attribute in NAMES for value in _values(entry, attribute)), username).lower()
        places = places_of(self._settings.workspaces, groups)
        return Person(subject, email[0] if email else "", name[0] if name else subject, role, groups, places)


def ldap_directory(settings: Settings) -> LdapDirectory | None:
    """The directory of the configuration; None where there is none. Raises ``ConfigurationInvalid``."""
    ldap = merged(settings.ldap)
    return LdapDirectory(ldap, settings.ca_file) if ldap.urls else None


def _end(connection: Connection) -> None:
    with suppress(LDAPException, OSError):  # it says goodbye even on a connection that broke
        connection.unbind()
    if connection.socket is not None:  # and forgets a socket that never got that far
        connection.socket.close()


def _values(entry: Mapping[str, Any], attribute: str) -> list[str]:
    """An attribute's values as text, whatever the case of its name."""
    attributes: Mapping[str, Any] = entry.get("attributes", {})
    found: object = next((value for name, value in attributes.items() if name.lower() == attribute.lower()), [])
    return [str(each) for each in (found if isinstance(found, list | tuple) else [found]) if each not in (None, "")]


def _disabled(entry: Mapping[str, Any]) -> bool:
    control = _values(entry, "userAccountControl")
    flags = int(control[0]) if control and control[0].lstrip("-").isdigit() else 0
    return bool(flags & DISABLED) or any(value.lower() != "false" for lock in LOCKS for value in _values(entry, lock))


def _named(dns: Sequence[str]) -> tuple[str, ...]:
    """Groups by their DNs and by their common names."""
    return (*dns, *(_common_name(dn) for dn in dns))


def _common_name(dn: str) -> str:
    """RFC 4514: characters are escaped by a backslash, or as their bytes."""
    first = re.split(r"(?<!\\),", dn, maxsplit=1)[0].partition("=")[2]
    plain = re.sub(r"(?:\\[0-9A-Fa-f]{2})+", lambda found: _decoded(found[0]), first)
    return re.sub(r"\\(.)", r"\1", plain)


def _decoded(escaped: str) -> str:
    return bytes.fromhex(escaped.replace("\\", "")).decode("utf-8", "replace")
