"""Alerts: ``[alerts]`` when they go out, ``[channels.X]`` where they go."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from core.addresses import http_url
from core.settings_checks import refuse_headers
from core.settings_services import Severity
from core.settings_types import HttpUrl, Section, secret

PERSON = re.compile(r"\s*[^<>\s][^<>]*<\s*[^<>\s]+\s*>\s*")
CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def clock(value: str) -> str:
    """A time of day as ``09:00``."""
    if not CLOCK.fullmatch(value):
        raise ValueError("expected a time of day such as 09:00")
    return value


def mention(value: str) -> str:
    """Somebody's name and the address that they sign in with."""
    if not PERSON.fullmatch(value):
        raise ValueError("expected a name and an address such as On Call <oncall@example.com>")
    return value


Clock = Annotated[str, AfterValidator(clock)]
Mention = Annotated[str, AfterValidator(mention)]


class ChannelSettings(Section):
    """``[channels.X]``: one place that alerts are sent to."""

    kind: Literal["teams", "teams_connector", "webhook"]
    """``teams``: a Workflows URL; ``teams_connector``: one of the retired Office 365 connectors; ``webhook``: JSON by POST."""
    url: Annotated[SecretStr, secret(http_url)]
    """A secret as a whole: ``env:NAME`` or ``file:PATH``."""
    wrap: bool = True
    """Teams: the card as a message's attachment; False sends it bare, for flows made by hand that expect that."""
    severities: tuple[Severity, ...] = ()
    """Only alerts of these; empty: all."""
    services: tuple[str, ...] = ()
    """Only of these services, as names or patterns (``dify-*``); empty: all."""
    platforms: tuple[str, ...] = ()
    """The same for platforms."""
    workspaces: tuple[str, ...] = ()
    """The same for the workspaces that alerts belong to."""
    mentions: tuple[Mention, ...] = ()
    """Who is named on a card of a critical alert: ``On Call <oncall@example.com>``."""
    headers: dict[str, SecretStr] = Field(default={})
    """Webhook: sent with each request."""
    fallback: str | None = None
    """The channel that gets what this one could not take."""
    resolved: bool = True
    """Say also when it is over."""
    alive: Clock | None = None
    """A time of day when a card says that all of this works, since what Teams answers does not prove that anything arrives."""
    language: Literal["en", "zh"] = "en"
    proxy: HttpUrl | None = None
    """None: ``HTTPS_PROXY`` and ``NO_PROXY``."""
    timeout: Annotated[float, Field(gt=0, le=120)] = 20.0
    per_second: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Requests to this channel at most."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        """Nothing is there that its kind would ignore, and what is there can be sent."""
        refuse_headers({name: value.get_secret_value() for name, value in self.headers.items()})
        if self.headers and self.kind != "webhook":
            raise ValueError('headers are sent by kind = "webhook" alone: expected none here')
        if not self.wrap and self.kind != "teams":
            raise ValueError('wrap = false is for kind = "teams" alone: leave it out here')
        if self.mentions and self.kind != "teams":
            raise ValueError('mentions are for kind = "teams" alone: nothing else can name people; leave them out here')
        return self


class AlertSettings(Section):
    """``[alerts]``: when alerts go out, and how often."""

    wait: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """Seconds that an alert waits for others of its group."""
    interval: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    """Seconds between two messages about one group."""
    remind_hours: Annotated[float, Field(ge=0, le=720)] = 0.0
    """Hours after which an alert that still holds is told again; 0: never."""
    digest: Clock | None = None
    """A time of day for a summary of the last day; None: no such message."""
    flaps: Annotated[int, Field(ge=2, le=100)] = 4
    """Flips within ``flap_minutes`` after which a service counts as flapping: one message says so, unless it is known
    to be down, and none until it is calm."""
    flap_minutes: Annotated[float, Field(gt=0, le=1440)] = 30.0
    give_up_hours: Annotated[float, Field(gt=0, le=720)] = 24.0
    """Hours after which a message that could not be sent is given up, visibly."""
    keep_days: Annotated[float, Field(gt=0, le=3650)] = 365.0
    """Days that alerts which are over are kept."""


def fallbacks_known(channels: Mapping[str, ChannelSettings]) -> None:
    """Returns when every fallback is another channel. Raises ``ValueError`` that begins with the key."""
    for name, channel in channels.items():
        if channel.fallback is not None and (channel.fallback not in channels or channel.fallback == name):
            others = ", ".join(other for other in channels if other != name) or "none is configured"
            raise ValueError(f"channels.{name}.fallback: expected another channel: {others}")
