"""``[quotas]`` and ``[prices.X]``: how much may be asked for, and what it costs."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from core.settings_types import Section, WorkspaceName

RATE = re.compile(r"(\d{1,7})\s*/\s*(\d{1,6})\s*s?")
OFF: Literal["off"] = "off"
LARGEST = 10**15


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds."""

    most: int
    seconds: int


def rate(value: str) -> str:
    """``100/60``, or ``off``."""
    text = value.strip().lower()
    if text != OFF and ((found := RATE.fullmatch(text)) is None or not int(found[1]) or not int(found[2])):
        raise ValueError("expected a number of turns and a number of seconds such as 100/60, or off")
    return text


def rate_of(value: str) -> Rate | None:
    """The rate that a checked value says; None for ``off``."""
    found = RATE.fullmatch(value)
    return None if found is None else Rate(int(found[1]), int(found[2]))


def most(value: object) -> object:
    """A whole number, or ``off``."""
    text = value.strip().lower() if isinstance(value, str) else value
    if text is None or text == OFF:
        return text
    if isinstance(text, str) and text.isascii() and text.isdigit():
        text = int(text)
    if not isinstance(text, int) or isinstance(text, bool) or not 0 <= text <= LARGEST:
        raise ValueError("expected a whole number of at least 0, or off")
    return text


def model_of_provider(value: str) -> str:
    """``provider/model``."""
    provider, slash, model = value.partition("/")
    if not (provider and slash and model):
        raise ValueError('expected a provider and one of its models, such as [prices."openai/gpt-4o-mini"]')
    return value


Most = Annotated[int | Literal["off"] | None, BeforeValidator(most)]
ChatRate = Annotated[str, AfterValidator(rate)]


class CallerQuotas(Section):
    """``[quotas.tokens.X]``: how much one token or user may ask for, by a token's id or name, or ``user:ID``. What is not set
    has no limit of its own."""

    chat_rate: ChatRate | None = None
    """Chat turns in so many seconds, in place of ``quotas.chat_rate``; ``off`` for no limit."""
    requests_per_minute: Most = None
    """Requests of any kind."""
    turns_per_day: Most = None
    """Answered turns in a day of ``timezone``; those that failed do not count."""
    turns_per_month: Most = None
    """The same in a month."""
    tokens_per_day: Most = None
    """Tokens of prompts and answers together in a day; the turn that reaches the number is the last one."""
    tokens_per_month: Most = None
    """The same in a month."""
    tool_runs_per_day: Most = None
    """Runs of tools that gave a result, in a day, those of models in turns included."""
    tool_runs_per_month: Most = None
    """The same in a month."""
    streams: Most = None
    """Turns that are answered at the same time."""


class WorkspaceQuotas(CallerQuotas):
    """``[quotas.workspaces.X]``: how much all in a workspace together may ask for. What is not set is as in ``[quotas]``."""

    storage_bytes: Most = None
    """Bytes of the files that are kept."""


class QuotaSettings(WorkspaceQuotas):
    """``[quotas]``: how much may be asked for, in each workspace that has no other numbers; ``off`` or nothing is no limit."""

    chat_rate: ChatRate = "100/60"
    """Chat turns of one user, or of one client address with one token, in so many seconds; ``off`` for no limit.

    Tokens of scope ``admin`` or ``plugin`` have none.
    """
    workspaces: dict[WorkspaceName, WorkspaceQuotas] = Field(default={})
    tokens: dict[str, CallerQuotas] = Field(default={})


class PriceSettings(Section):
    """``[prices."provider/model"]``: what a model costs, for the usage report."""

    input: Annotated[float, Field(ge=0, le=1e9)]
    """For a million tokens of prompts."""
    output: Annotated[float, Field(ge=0, le=1e9)]
    """For a million tokens of answers."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    """Three letters (ISO 4217)."""


Prices = dict[Annotated[str, AfterValidator(model_of_provider)], PriceSettings]
