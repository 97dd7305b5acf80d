"""Which login a store's container was given, told by where its password is and never by what it is.

A password that the project takes from a variable is referred to by that variable (``env:NAME``), one in a secret's file by the
file (``file:PATH``). One that is written in a compose file itself is not repeated anywhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.settings_services import Check
from core.topology.composed import Part, Variable


@dataclass(frozen=True, slots=True)
class Login:
    """``username`` and ``password`` as a topology file has them; ``note`` says what is missing."""

    username: str | None = None
    password: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Names:
    """The variables of official images and of those that are built like Bitnami's, in the order in which they are tried."""

    password: tuple[str, ...]
    username: tuple[str, ...] = ()
    usual: str = ""


_NAMES: Mapping[Check, tuple[_Names, ...]] = {
    "postgres": (
        _Names(
            ("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD", "POSTGRESQL_POSTGRES_PASSWORD", "PGPASSWORD"),
            ("POSTGRES_USER", "POSTGRESQL_USERNAME", "POSTGRESQL_USER", "PGUSER"),
            "postgres",
        ),
    ),
    "mysql": (
        _Names(("MYSQL_PASSWORD", "MARIADB_PASSWORD"), ("MYSQL_USER", "MARIADB_USER")),
        _Names(("MYSQL_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD"), (), "root"),
    ),
    "redis": (_Names(("REDIS_PASSWORD", "VALKEY_PASSWORD", "REDISCLI_AUTH", "KEYDB_PASSWORD", "REDIS_PASS"), ()),),
    "mongo": (
        _Names(
            ("MONGO_INITDB_ROOT_PASSWORD", "MONGODB_ROOT_PASSWORD", "MONGODB_INITDB_ROOT_PASSWORD"),
            ("MONGO_INITDB_ROOT_USERNAME", "MONGODB_ROOT_USER", "MONGODB_INITDB_ROOT_USERNAME"),
            "root",
        ),
    ),
}
_REQUIREPASS = re.compile(r"--requirepass\}?[\s=]+[\"']?(\S+?)[\"']?(?=\s|$|;|&)")
_OPEN = (("POSTGRES_HOST_AUTH_METHOD", "trust"), ("MYSQL_ALLOW_EMPTY_PASSWORD", ""), ("MARIADB_ALLOW_EMPTY_ROOT_PASSWORD", ""))
"""Variables by which a server lets its first user in without a password; an empty value stands for any."""
_WHOLE = re.compile(r"\$\{?([A-Za-z_]\w*)(?::?[-?+][^{}]*)?\}?")
_CONTAINERS = re.compile(r"\$\$\{?([A-Za-z_]\w*)\}?")
_UNCHECKED = "The login is not checked: "


def login_of(part: Part, check: Check, variables: Mapping[str, str]) -> Login:
    """The login of a store; empty for one that wants none and for what is no store."""
    missing = ""
    for names in _NAMES.get(check, ()):
        password, note = _password(part, names, check, variables)
        missing = missing or note
        if password is None and not (_is_open(part, names) and not note):
            continue
        username, note = _username(part, names)
        if check == "redis":  # one without users takes a password alone
            return Login(None, password)
        if username:
            return Login(username, password)
        missing = missing or note
    return Login(note=missing)


def _password(part: Part, names: _Names, check: Check, variables: Mapping[str, str]) -> tuple[str | None, str]:
    """A reference to the password, or what is to be said of it."""
    if check == "redis" and "--requirepass " in f"{' '.join(part.command).strip()} ":
        found = _REQUIREPASS.search(" ".join(part.command_written))
        return _from_command(part, found.group(1) if found else "", variables)
    for name in names.password:
        if (variable := part.environment.get(name)) is not None and variable.value:
            return _referred(name, variable)
        if (file := part.environment.get(f"{name}_FILE")) is not None and file.value:
            known = part.secrets.get(file.value)
            if known is not None:
                return known, ""
            return (
                None,
                f"{_UNCHECKED}{name}_FILE names a file that only the container has. Give password by env:NAME or file:PATH.",
            )
    return None, ""


def _from_command(part: Part, word: str, variables: Mapping[str, str]) -> tuple[str | None, str]:
    """Redis's password as its command line has it: a variable of the project, one of the container, or the word itself."""
    if inside := _CONTAINERS.fullmatch(word):
        variable = part.environment.get(inside.group(1))
        return _referred(inside.group(1), variable) if variable is not None and variable.value else (None, "")
    if whole := _WHOLE.fullmatch(word):
        name = whole.group(1)
        value = variables.get(name, "")
        if value and f"--requirepass {value}" not in " ".join(part.command):
            return None, _literal("--requirepass")
        return _referred(name, Variable("", name, bool(value)))
    return None, _literal("--requirepass")


def _referred(name: str, variable: Variable) -> tuple[str | None, str]:
    if variable.source is None:
        return None, _literal(name)
    if not variable.is_set:
        return None, (
            f"{_UNCHECKED}{name} is a default of the compose file, which is not repeated, for {variable.source} is not set. "
            'Set it in the .env and import again, or write password = "env:NAME" or "file:PATH".'
        )
    return f"env:{variable.source}", ""


def _is_open(part: Part, names: _Names) -> bool:
    values = {name: variable.value.lower() for name, variable in part.environment.items() if variable.value}
    return bool(names.usual) and any(name in values and expected in values[name] for name, expected in _OPEN)


def _literal(name: str) -> str:
    return (
        f"{_UNCHECKED}{name} is written in the compose file, or in a file of the service's own, and not repeated. "
        'Write username and password = "env:NAME" or "file:PATH".'
    )


def _username(part: Part, names: _Names) -> tuple[str | None, str]:
    for name in names.username:
        variable = part.environment.get(name)
        if variable is None or not variable.value:
            continue
        if variable.is_set:
            return f"env:{variable.source}", ""
        if variable.literal:
            return variable.value, ""
        return None, _literal(name)
    return names.usual or None, ""
