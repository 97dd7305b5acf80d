"""A platform in trouble, as the status page would show it: for tests of pictures and pages."""

import math
from datetime import UTC, datetime, timedelta

from core.status.view import (
    AlertView,
    BackupView,
    ChannelView,
    Delivery,
    Page,
    PlatformView,
    ServiceView,
    SilenceView,
    StatusView,
    SweepView,
    Trouble,
    Uptime,
    WindowView,
)
from core.sweeps.observation import State

NOW = datetime(2026, 11, 21, 9, 30, 12, tzinfo=UTC)
NEEDS = {
    "postgres": (),
    "redis": (),
    "minio": (),
    "mysql": (),
    "core-tenant": ("mysql", "redis"),
    "core-database": ("postgres", "mysql"),
    "core-link": ("mysql", "redis", "core-tenant"),
    "core-knowledge": ("mysql", "redis", "minio"),
    "core-agent": ("mysql", "redis", "core-tenant", "core-link"),
    "core-workflow": ("mysql", "redis", "minio", "core-database", "core-link", "core-agent"),
    "console-hub": ("postgres", "mysql", "redis", "minio", "core-workflow", "core-tenant"),
    "console-frontend": ("console-hub",),
    "casdoor": ("mysql",),
    "nginx": ("console-hub", "console-frontend", "casdoor"),
}
HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"


def service(name: str, platform: str = "astron-agent", state: State = "up", **more: object) -> ServiceView:
    """One that has been watched for a while."""
    seed = sum(name.encode())
    latency = tuple(
        None if state == "down" and hour > 21 else 0.02 + seed % 7 / 100 * (1 + math.sin(hour + seed)) for hour in range(24)
    )
    days = tuple(
        None if day < 40 else 0.97 if (day + seed) % 23 == 0 else 0.8 if (day + seed) % 41 == 0 else 1.0 for day in range(90)
    )
    values: dict[str, object] = {
        "title": name,
        "needs": tuple(f"{platform}/{each}" for each in NEEDS.get(name, ())),
        "since": NOW - timedelta(hours=2, minutes=5),
        "checked_at": NOW - timedelta(seconds=40),
        "seconds": None if state == "down" else latency[-1],
        "latency": latency,
        "days": days,
        "uptime": Uptime(0.9132 if state == "down" else 1.0, 0.9988, 0.99951),
    }
    return ServiceView(f"{platform}/{name}", name, platform=platform, state=state, **values | more)  # type: ignore[arg-type]


def platform(name: str, services: list[ServiceView]) -> PlatformView:
    """Shown in full."""
    counts: dict[State, int] = {}
    for each in services:
        counts[each.state] = counts.get(each.state, 0) + 1
    return PlatformView(name, counts, tuple(services), tuple(services))


FOLDED = ("core-database", "core-workflow", "console-hub", "console-frontend", "nginx")


def troubled() -> StatusView:
    """A database down with what needs it, a slow model, alerts, a channel that refuses, late backups, sweeps that stopped."""
    astron = {name: _astron(name) for name in NEEDS}
    slow = service("ollama", "models", "degraded", message=f"Slow: 4.2 s, and 2 s is the limit. {HOSTILE}", title=HOSTILE)
    models = [slow, service("vllm", "models"), service("embeddings", "models", maintenance=True)]
    return StatusView(
        now=NOW,
        sweep=SweepView(NOW - timedelta(minutes=21), 3.2, "standby", 300.0, overdue=True),
        troubles=(Trouble(astron["postgres"], tuple(astron[name] for name in FOLDED), 5), Trouble(slow)),
        platforms=(platform("astron-agent", list(astron.values())), platform("models", models)),
        alerts=_alerts(),
        silences=(SilenceView("s1", "service ollama", NOW + timedelta(hours=3), "The GPU is being changed", "li.wei"),),
        windows=(WindowView("embeddings", "embeddings", "models"),),
        backups=_backups(),
        channels=(ChannelView("teams", waiting=3, given_up=1, oldest=NOW - timedelta(minutes=12)), ChannelView("hook")),
    )


def _astron(name: str) -> ServiceView:
    if name == "postgres":
        message = "Nothing listens on 10.0.0.5:5432: is the server running?"
        return service(name, state="down", title="PostgreSQL 主库", code="refused", message=message)
    if name in FOLDED:
        return service(name, state="down", root="astron-agent/postgres", message="Answered 503 where 200-399 is good.")
    if name == "core-knowledge":
        return service(name, state="unreachable", message="No port is published, and no Docker socket is set.")
    return service(name)


def _alerts() -> tuple[AlertView, ...]:
    opened = NOW - timedelta(hours=2, minutes=4)
    refused = Delivery("teams", "given_up", NOW, 41, "HTTP 404: the workflow is gone; make a new URL in Teams.")
    title = "PostgreSQL 主库 is down; 5 services need it"
    return (
        AlertView("a1", "service:pg", title, "critical", opened, deliveries=(refused, Delivery("hook", "sent", NOW, 1))),
        AlertView("a2", "service:ollama", HOSTILE, "warning", NOW - timedelta(minutes=50), silenced=True),
        AlertView("a3", "service:redis", "redis is down", "critical", NOW - timedelta(days=1), NOW - timedelta(hours=20)),
    )


def _backups() -> tuple[BackupView, ...]:
    night, drilled = NOW - timedelta(hours=7), NOW - timedelta(days=3)
    error = "mysqldump: Got error 2003: Can't connect to MySQL server on 'db' (111)"
    return (
        BackupView("pilothouse", "postgres", "fresh", night, 3_412_000, 4.0, night, "", "good", drilled, 22.0),
        BackupView("dify-db", "mysql", "failed", night - timedelta(days=2), 812_000_000, 61.0, night, error, "differs", drilled),
    )


def calm() -> StatusView:
    """All is well."""
    services = [service(name) for name in NEEDS]
    return StatusView(
        now=NOW,
        sweep=SweepView(NOW - timedelta(seconds=70), 1.4, "flow", 300.0),
        platforms=(platform("astron-agent", services), platform("", [service("vllm", "", needs=())])),
        backups=(BackupView("pilothouse", "postgres", "fresh", NOW - timedelta(hours=7), 3_412_000, 4.0),),
    )


def many(count: int = 10_000, listed: int = 100) -> StatusView:
    """So many services that platforms are opened one by one."""
    each = count // 10
    platforms = [
        PlatformView(
            f"platform-{number}",
            {"down": number % 3, "up": each - number % 3},
            tuple(service(f"s-{number}-{index}", f"platform-{number}") for index in range(listed)) if number == 4 else (),
        )
        for number in range(10)
    ]
    down = tuple(Trouble(service(f"d-{number}", "platform-2", "down", message="Timed out after 10 s.")) for number in range(9))
    return StatusView(
        now=NOW,
        sweep=SweepView(NOW - timedelta(seconds=70), 48.4, "flow", 300.0),
        troubles=down,
        platforms=tuple(platforms),
        page=Page(2, 11, "platform-4", whole=False),
    )
