"""Secrets that stand in compose files, and those of them that everybody knows."""

import re
from collections.abc import Iterator, Mapping, Sequence

from core.preflight.composed import Service
from core.preflight.item import Item, judged, listed
from core.preflight.secrets import Given
from core.samples import is_sample
from core.topology.composed import Variable

_SECRET = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|(^|_)PASS$|(^|_)PWD$|SECRET|PRIVATE_?KEY|API_?KEY|ACCESS_?KEY|ROOT_KEY|AUTH_KEY|(^|_)TOKEN$|CREDENTIAL",
    re.IGNORECASE,
)
_NONE = re.compile(
    r"(_FILE|_LENGTH|_EXPIR\w*|_MINUTES|_SECONDS|_DAYS|_HOURS|_TTL|_ENABLED?|_ALGORITHM|_PATH|_URL|_TYPE|_HEADER|_NAME)$",
    re.IGNORECASE,
)
"""Names of what is said about secrets, and is none."""
_IN_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@]*:([^\s/@]+)@", re.IGNORECASE)
_IN_COMMAND = re.compile(r"(?:--requirepass|--masterauth|--password|--[\w-]*secret)[ =]+[\"']?([^\s\"'$]+)")
_SAID = {"", "true", "false", "yes", "no", "none", "null"}


def literal_secrets(services: Sequence[Service], variables: Mapping[str, str]) -> Item:
    """Those that stand in the files for all who read them, and those of the ``.env`` that everybody knows."""
    literal: list[str] = []
    known: list[str] = []
    for service in services:
        for name, value, variable in _secrets(service):
            where = f"{service.name}.{name}"
            if is_sample(value):
                known.append(where)
            elif variable.literal:
                literal.append(where)
        literal += [f"{service.name} (its command)"] if _IN_COMMAND.search(" ".join(service.part.command_written)) else []
    known += [f".env: {name}" for name, value in variables.items() if _is_secret(name, value) and is_sample(value)]
    wrong = [f"Values that everybody knows: {listed(known)}"] if known else []
    wrong += [f"They stand in the file for all who read it: {listed(literal)}"] if literal else []
    todo = "Write `${NAME}`, put a secret of your own (`openssl rand -base64 32`) into .env, and change it at its store."
    return judged("literal_secrets", wrong, [], "No secret stands in the files", todo)


def given_as(services: Sequence[Service], name: str) -> list[Given]:
    """What services get in a variable of this name, where something is set."""
    return [
        Given(f"{each.name}.{name}", variable.value)
        for each in services
        if (variable := each.part.environment.get(name)) is not None and variable.value
    ]


def _secrets(service: Service) -> Iterator[tuple[str, str, Variable]]:
    for name, variable in service.part.environment.items():
        if _is_secret(name, variable.value):
            yield name, variable.value, variable
        elif (found := _IN_ADDRESS.search(variable.value)) is not None:
            yield name, found.group(1), variable


def _is_secret(name: str, value: str) -> bool:
    return bool(_SECRET.search(name)) and not _NONE.search(name) and value.strip().lower() not in _SAID and "://" not in value
