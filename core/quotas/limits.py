"""Which limits hold for whom: those that administrators set while all runs, else the configuration's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from core.quotas.counting import Item, Kind, Metric
from core.settings_quotas import OFF, CallerQuotas, QuotaSettings, Rate, WorkspaceQuotas, rate_of
from core.store.quotas import SetQuota

Limit = int | str | None
COUNTED: Mapping[str, tuple[Metric, Literal["day", "month"] | None]] = {
    "turns_per_day": ("turns", "day"),
    "turns_per_month": ("turns", "month"),
    "tokens_per_day": ("tokens", "day"),
    "tokens_per_month": ("tokens", "month"),
    "tool_runs_per_day": ("tool_runs", "day"),
    "tool_runs_per_month": ("tool_runs", "month"),
    "streams": ("streams", None),
}
"""By setting, what is counted and for how long."""
KINDS: Mapping[str, type[CallerQuotas]] = {"default": WorkspaceQuotas, "workspace": WorkspaceQuotas, "token": CallerQuotas}
"""What limits may be set for: every workspace that has no other, one, or one token or user."""


@dataclass(frozen=True, slots=True)
class Given:
    """A limit and where it comes from: ``admin``, or the configuration's ``file`` or ``default``."""

    value: Limit
    origin: str


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits at a time. ``aliases`` are names by the ids of the tokens and users that are called so."""

    settings: QuotaSettings
    set_: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: Literal["default", "workspace", "token"], name: str = "") -> dict[str, Given]:
        """Every limit of a workspace or a token that is set, by the setting's name."""
        found: dict[str, Given] = {}
        for origin, limits in reversed(list(self._sources(kind, name))):
            found |= {key: Given(value, origin) for key, value in limits.items() if value is not None}
        return found

    def items(self, metrics: Mapping[Metric, int], workspace: str, token_id: str | None, now: datetime) -> tuple[Item, ...]:
        """What so much of each metric is to be held against; ``now`` is in the zone whose days count."""
        whose: list[tuple[Kind, str]] = [("workspace", workspace)]
        if token_id:
            whose.append(("token", token_id))
        made = []
        for kind, name in whose:
            given = self.of(kind, name)
            for setting, (metric, period) in COUNTED.items():
                limit = given.get(setting)
                if metric in metrics and limit is not None and isinstance(limit.value, int):
                    since, until = span(period, now) if period is not None else (None, None)
                    key = f"{kind}:{name} {metric} {f'{period} {since:%Y-%m-%d %H:%M}' if since else 'now'}"
                    made.append(Item(key, setting, kind, name, metric, limit.value, metrics[metric], since, until))
        return tuple(made)

    def number(self, setting: str, kind: Literal["workspace", "token"], name: str) -> int | None:
        """One limit; None where there is none."""
        given = self.of(kind, name).get(setting)
        return given.value if given is not None and isinstance(given.value, int) else None

    def chat_rate(self, workspace: str, token_id: str) -> tuple[Rate | None, bool]:
        """How often somebody may ask a model, and whether that was set for them alone."""
        own = self.of("token", token_id).get("chat_rate")
        given = own or self.of("workspace", workspace)["chat_rate"]
        return rate_of(str(given.value)), own is not None

    def known(self) -> list[tuple[str, str]]:
        """Kind and name of all that have limits of their own."""
        named = {("default", ""), *(("workspace", name) for name in self.settings.workspaces)}
        return sorted(named | {("token", name) for name in self.settings.tokens} | set(self.set_))

    def _sources(self, kind: str, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The first wins."""
        names = [name] if name not in self.aliases else [name, self.aliases[name]]
        for each in names:
            yield "admin", self.set_.get((kind, each), {})
        configured: Mapping[str, CallerQuotas] = self.settings.tokens if kind == "token" else self.settings.workspaces
        if kind != "default":
            for each in names:
                yield "file", _said(configured.get(each))
        if kind != "token":
            yield "admin", self.set_.get(("default", ""), {})
            yield from (
                ("file" if key in self.settings.model_fields_set else "default", {key: value})
                for key, value in _said(self.settings).items()
            )


def limits_of(settings: QuotaSettings, rows: Sequence[SetQuota], named: Sequence[tuple[str, str]]) -> Limits:
    """The limits that hold now."""
    return Limits(settings, {(row.kind, row.name): row.limits for row in rows}, dict(named))


def span(period: Literal["day", "month"], now: datetime) -> tuple[datetime, datetime]:
    """When the day or month of ``now`` begins and ends in its zone."""
    begin = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "month":
        begin = begin.replace(day=1)
        end = (begin + timedelta(days=32)).replace(day=1)
    else:
        end = begin + timedelta(days=1)
    return begin.astimezone(UTC), end.astimezone(UTC)


def clock(zone: str) -> datetime:
    """Now, in the zone whose days count."""
    return datetime.now(ZoneInfo(zone))


def unset(value: Limit) -> bool:
    """Whether there is no limit."""
    return value is None or value == OFF


def _said(section: CallerQuotas | None) -> dict[str, Any]:
    if section is None:
        return {}
    return {key: value for key, value in section.model_dump(exclude={"workspaces", "tokens"}).items() if value is not None}
