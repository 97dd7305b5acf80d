"""Secrets: those that everybody knows, those that can be guessed, and those that are old."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from core.addresses import is_loopback
from core.preflight.item import Item, judged, listed
from core.samples import is_sample
from core.settings import Settings

Strength = Literal["sample", "weak", "short", "good"]
MAKE = "Make one by `openssl rand -base64 32`"
OLD_DAYS = 365.0
BITS = 60.0
"""Of randomness at least, counted by how often each character comes."""
SHORTEST, SHORT, SHORTEST_PASSWORD = 16, 32, 12


@dataclass(frozen=True, slots=True)
class Given:
    """A secret, and the setting or variable that it stands in."""

    where: str
    value: str = field(repr=False)


def strength(value: str) -> Strength:
    """What a signing key is worth."""
    if is_sample(value):
        return "sample"
    if len(value) < SHORTEST or _bits(value) < BITS:
        return "weak"
    return "short" if len(value) < SHORT else "good"


def signing_secret(name: str, given: Sequence[Given], age_days: float | None = None, before: int = 0) -> Item:
    """``jwt_secret`` and ``session_secret``: those that are set, or for how many days the one that we made is in use.

    ``before``: how many earlier ones are still accepted.
    """
    found = {kind: [each.where for each in given if strength(each.value) == kind] for kind in ("sample", "weak", "short")}
    wrong = [f"{listed(found['sample'])}: a sample value that everybody knows"] if found["sample"] else []
    wrong += [f"{listed(found['weak'])}: short or easy to guess"] if found["weak"] else []
    doubtful = [f"{listed(found['short'])}: fewer than {SHORT} characters"] if found["short"] else []
    if age_days is not None and age_days > OLD_DAYS:
        doubtful.append(f"It has been in use for {age_days:.0f} days")
    if before:
        doubtful.append(f"{before} earlier {'one is' if before == 1 else 'ones are'} still accepted (access.jwt_secrets_before)")
    good = f"{listed(each.where for each in given)}: long and random" if given else "Made up by Pilothouse, random and kept apart"
    todo = (
        f"{MAKE}, set it as {name.upper()} and start again; move the old one to access.jwt_secrets_before for an hour, no longer."
    )
    return judged(name, wrong, doubtful, good, todo)


def admin_password(given: str | None, file_there: bool) -> Item:
    """The first administrator's, and whether the file with the one that was made up still lies there."""
    wrong: list[str] = []
    if given is not None and is_sample(given):
        wrong.append("ADMIN_PASSWORD is a sample value that everybody knows")
    elif given is not None and _is_weak_password(given):
        wrong.append("ADMIN_PASSWORD is short or easy to guess")
    doubtful = ["The file admin-password still lies in the data directory"] if file_there else []
    todo = "Change it by `pilothouse user password EMAIL`, then delete admin-password and take ADMIN_PASSWORD out."
    return judged("admin_password", wrong, doubtful, "No password lies around that everybody knows or that can be guessed", todo)


def database_password(urls: Sequence[Given]) -> Item:
    """The passwords in the addresses of our own database and of Redis."""
    wrong: list[str] = []
    doubtful: list[str] = []
    for each in urls:
        parts = urlsplit(each.value)
        password = unquote(parts.password or "")
        away = bool(parts.hostname) and not is_loopback(parts.hostname or "")
        if password and is_sample(password):
            wrong.append(f"{each.where}: a password that everybody knows")
        elif password and _is_weak_password(password):
            (wrong if away else doubtful).append(f"{each.where}: a password that is short or easy to guess")
        elif not password and away and "sslcert" not in parts.query:
            doubtful.append(f"{each.where}: no password for a server on another machine")
    good = "Long and random" if urls else "Made up by Pilothouse for its embedded server"
    todo = f"{MAKE}, set it at the server (`ALTER ROLE … PASSWORD`, `requirepass`) and in the address."
    return judged("database_password", wrong, doubtful, good, todo)


def other_secrets(given: Sequence[Given], ages: Mapping[str, float]) -> Item:
    """All that the settings hold, by the samples that everybody knows; and the age of those that we made, in days by file."""
    samples = [each.where for each in given if is_sample(each.value)]
    guessed = [
        each.where for each in given if not is_sample(each.value) and each.where in _OURS and strength(each.value) == "weak"
    ]
    wrong = [f"{listed(samples)}: a sample value that everybody knows"] if samples else []
    wrong += [f"{listed(guessed)}: short or easy to guess"] if guessed else []
    old = [name for name, days in ages.items() if days > OLD_DAYS]
    doubtful = [f"{listed(old)}: in use for more than a year"] if old else []
    todo = f"{MAKE} for each and set it where it is used; tokens: `pilothouse token create`, then revoke the old one."
    return judged("secrets", wrong, doubtful, f"None of {len(given)} secrets in the settings is a known sample", todo)


_OURS = ("auth_token", "audit.key")
"""Those that protect us and that nobody else gives out."""


def secrets_of(settings: Settings) -> list[Given]:
    """Every secret of the settings by its dotted key; of addresses their passwords."""
    found = []
    for key, value in _within("", settings):
        if "://" not in value:
            found.append(Given(key, value))
        elif password := _password(value):
            found.append(Given(key, password))
    return found


def _within(key: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, SecretStr):
        if plain := value.get_secret_value():
            yield key, plain
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _within(f"{key}.{name}".lstrip("."), getattr(value, name))
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _within(f"{key}.{name}", each)
    elif isinstance(value, tuple):
        for each in value:
            yield from _within(key, each)


def _password(address: str) -> str:
    try:
        return unquote(urlsplit(address).password or "")
    except ValueError:
        return ""


def _is_weak_password(value: str) -> bool:
    return len(value) < SHORTEST_PASSWORD or _bits(value) < BITS / 2


def _bits(value: str) -> float:
    counts = Counter(value).values()
    return -sum(count * log2(count / len(value)) for count in counts)
