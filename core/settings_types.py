"""What the settings are made of: sections that refuse unknown keys, and values with their checks."""

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

from core.addresses import http_url
from core.workspaces import NAME


def path_prefix(value: str) -> str:
    """``api/`` as ``/api``."""
    parts = value.strip("/")
    if any(mark in value for mark in "?# {}") or "//" in value:
        raise ValueError("expected a path such as /api")
    return f"/{parts}" if parts else ""


def network(value: str) -> str:
    """An address or a network, as ``10.0.0.0/8``."""
    try:
        return str(ip_network(value.strip(), strict=False))
    except ValueError as error:
        raise ValueError("expected an address or a network such as 10.0.0.0/8") from error


def workspace_name(value: str) -> str:
    """What a workspace may be called."""
    if NAME.fullmatch(value) is None:
        raise ValueError("expected a workspace's name: small letters, digits and hyphens, at most 39")
    return value


def time_zone(value: str) -> str:
    """An IANA name that this machine knows."""
    try:
        ZoneInfo(value)
    except (ValueError, OSError) as error:  # unknown names raise ZoneInfoNotFoundError (a KeyError) or either of these
        raise ValueError("expected an IANA time zone such as Asia/Shanghai") from error
    except KeyError as error:
        raise ValueError("expected an IANA time zone such as Asia/Shanghai") from error
    return value


def level(value: object) -> object:
    """Lower case, and the names other loggers give to the same levels."""
    if not isinstance(value, str):
        return value
    lower = value.strip().lower()
    return {"warn": "warning", "verbose": "debug", "trace": "debug", "log": "info", "fatal": "error", "critical": "error"}.get(
        lower, lower
    )


def _existing(value: Path) -> Path:
    if not value.is_file():
        raise ValueError("expected the path of a readable file")
    return value


def secret(check: Callable[[str], str]) -> AfterValidator:
    """A check of what a ``SecretStr`` holds."""
    return AfterValidator(lambda value: SecretStr(check(value.get_secret_value())))


ExistingFile = Annotated[Path, AfterValidator(_existing)]
WorkspaceName = Annotated[str, AfterValidator(workspace_name)]
HttpUrl = Annotated[str, AfterValidator(http_url)]


class Section(BaseModel):
    """A part of the tree; an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
