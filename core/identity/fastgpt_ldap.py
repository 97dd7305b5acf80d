"""FastGPT's ``config.json`` as it lies there: the ``ldap`` section, with comments, trailing commas and keys that are not ours."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyjson5
from pydantic import ValidationError

from core.errors import ConfigurationInvalid
from core.settings_access import LdapSettings

KEYS: Mapping[str, str] = {
    "bindDN": "bind_dn",
    "bindCredentials": "bind_password",
    "searchBase": "search_base",
    "searchFilter": "search_filter",
    "adminFilter": "admin_filter",
}


def merged(settings: LdapSettings) -> LdapSettings:
    """The settings with what only ``fastgpt_config`` says. Raises ``ConfigurationInvalid`` naming the file and the key."""
    file = settings.fastgpt_config
    if file is None:
        return settings
    section = _section(file)
    if section is None or section.get("enable") is False:
        return settings
    said: dict[str, Any] = {ours: section[theirs] for theirs, ours in KEYS.items() if section.get(theirs)}
    if section.get("url"):
        said["urls"] = tuple(str(section["url"]).replace(",", " ").split())
    own = settings.model_dump(exclude_unset=True)
    try:
        return LdapSettings.model_validate(said | own)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        names = {ours: theirs for theirs, ours in KEYS.items()} | {"urls": "url"}
        key = ".".join(["ldap", *(names.get(str(part), str(part)) for part in problem["loc"][:1])])
        raise ConfigurationInvalid(f"{file}: {key}: {problem['msg'].removeprefix('Value error, ')}") from None


def _section(file: Path) -> Mapping[str, Any] | None:
    try:
        content = pyjson5.decode("\n".join(_uncommented(file.read_text(encoding="utf-8-sig"))))
    except OSError as error:
        raise ConfigurationInvalid(f"{file}: cannot be read ({error.strerror}); correct ldap.fastgpt_config") from error
    except (pyjson5.Json5DecoderException, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(f"{file}: is not JSON, even with comments and trailing commas allowed") from error
    section = content.get("ldap") if isinstance(content, dict) else None
    if section is not None and not isinstance(section, dict):
        raise ConfigurationInvalid(f'{file}: ldap: expected an object such as {{"enable": true, "url": "ldap://…"}}')
    return section


def _uncommented(text: str) -> Iterator[str]:
    """The lines without comments that begin with ``#``, which people write though no JSON knows them."""
    for line in text.splitlines():
        quoted = escaped = False
        for at, mark in enumerate(line):
            if mark == '"' and not escaped:
                quoted = not quoted
            escaped = mark == "\\" and not escaped
            if mark == "#" and not quoted:
                line = line[:at]  # noqa: PLW2901 - the rest of it is a comment
                break
        yield line
