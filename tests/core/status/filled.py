"""A database with services that were swept for a while, alerts and backups: what the status page is asked to show."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from core.alerts.alert import Alert
from core.alerts.message import Answer, Message
from core.alerts.silencing import Silence
from core.ids import new_id
from core.model_versions import Version
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.drills import Drills, NewDrill
from core.store.keepable import as_json
from core.store.models import Models
from core.store.notices import NewNotice, Notices
from core.store.services import Services, SweepRecord, Sweeps
from core.store.silences import Silences
from core.sweeps.observation import State
from core.sweeps.service import ServiceState

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}"


def state(topology: str, name: str, at: datetime, how: State = "up", **more: object) -> ServiceState:
    """A service that was looked at a moment ago."""
    values: dict[str, object] = {"since": at - timedelta(hours=3), "checked_at": at, "seconds": None if how == "down" else 0.02}
    return ServiceState(topology, name, "http", state=how, **values | more)  # type: ignore[arg-type]


async def fill(store: Store) -> None:
    """The database ``shop/db`` is down, and ``api`` and ``web`` with it; one is slow, one in maintenance; alerts say so."""
    now = datetime.now(UTC)
    services = [
        state("shop", "db", now, "down", title="数据库", message=f"Nothing listens. {HOSTILE}", code="refused", position=0),
        state("shop", "api", now, "down", depends_on=("db",), root="shop/db", position=1),
        state("shop", "web", now, "down", depends_on=("api",), root="shop/db", position=2),
        state("shop", "search", now, "degraded", message="Slow: 3 s.", position=3, runbook="https://wiki.example/search"),
        state("models", "ollama", now, title=HOSTILE),
        state("models", "vllm", now, maintenance=True, position=1),
        state("services", "mail", now, "unreachable", message="No port is published."),
    ]
    await Services(store).save(services)
    await Sweeps(store).add(SweepRecord(new_id(), "flow", now - timedelta(seconds=3), now - timedelta(seconds=1)))
    await history(store, days=3)
    await alerts(store, now)
    await models(store)
    await Drills(store).add(NewDrill(new_id(), "orders", "good", seconds=21.0))
    row = "INSERT INTO pilothouse.backups (id, source, engine, status, started_at, finished_at, size, error, workspace) VALUES "
    good = "('b1', 'orders', 'postgres', 'good', now() - interval '61 s', now(), 4200, null, 'default')"
    async with store.single() as connection:
        await connection.execute(text(row + good))
        error = '{"code": "dump_failed", "message": "The server went away."}'
        await connection.execute(
            text(row + "('b2', 'users', 'mysql', 'bad', now(), now(), null, CAST(:e AS jsonb), 'default')"), {"e": error}
        )


async def history(store: Store, days: int) -> None:
    """Hours of every service: five sweeps of twelve of each day's first hour found it down."""
    async with store.begin() as connection:
        await connection.execute(
            text("""
                INSERT INTO pilothouse.service_hours (service, hour, up, down, answers, seconds)
                SELECT s.id, h, CASE WHEN n % 24 = 0 THEN 7 ELSE 12 END, CASE WHEN n % 24 = 0 THEN 5 ELSE 0 END, 7, 0.21
                FROM pilothouse.service_states s, generate_series(0, 24 * :days - 1) AS n,
                    LATERAL (SELECT date_trunc('hour', now()) - make_interval(hours => n)) AS hours (h)
            """),
            {"days": days},
        )
        await connection.execute(text("ANALYZE pilothouse.service_hours, pilothouse.service_states"))


async def alerts(store: Store, now: datetime) -> None:
    """One that no channel took, one that is over, one that is silenced."""
    kept, outbox = Alerts(store), Notices(store)
    await kept.raise_(Alert("service:shop/mail", "mail was down", service="mail", platform="shop"))
    await kept.resolve("service:shop/mail")
    await kept.raise_(Alert("service:shop/search", f"search is slow {HOSTILE}", "warning", service="search", platform="shop"))
    await kept.raise_(Alert("service:shop/db", "db is down; 2 need it", service="db", platform="shop"))
    current = await kept.current("service:shop/db")
    assert current is not None
    message = Message("m1", "firing", "db is down")
    for channel in ("teams", "hook", "mail"):
        await outbox.add([NewNotice(channel, "k", Message(new_id(), message.kind, message.title), (current.id,))])
        await outbox.hold(channel, "test")
    if refused := await outbox.take("teams", "test"):
        await outbox.give_up(refused, {"code": "channel_refused", "message": "HTTP 404: the workflow is gone."})
    if taken := await outbox.take("hook", "test"):
        await outbox.sent(taken, Answer(200))
    await Silences(store).add(
        Silence(new_id(), now - timedelta(hours=1), now + timedelta(hours=1), "li.wei", "new disks", ("sear*",))
    )


async def models(store: Store) -> None:
    """Of ``box`` one model that was asked, and one that failed twice of three times and was changed since."""
    kept = Models(store)
    await kept.note("box", [Version("qwen3:8b", "ollama", "sha256:0011223344556677"), Version(HOSTILE, "ollama", "1")], ())
    await kept.note("box", [Version("qwen3:8b", "ollama", "sha256:8899aabbccddeeff"), Version(HOSTILE, "ollama", "1")], ())
    turns = text("""
        INSERT INTO pilothouse.turns (id, workspace, status, options, owner, provider, model, finished_at, model_first_ms,
            model_ms, model_tokens, attempts)
        SELECT gen_random_uuid(), 'default', 'done', '{}', 'boot', 'box', :model, now(), 300, 2000, 120,
            CASE WHEN n <= CAST(:failed AS int) THEN CAST(:attempts AS jsonb) END
        FROM generate_series(1, CAST(:turns AS int)) n
    """)
    attempts = as_json([{"provider": "box", "model": HOSTILE, "retries": 2, "code": "provider_unavailable", "left": True}])
    async with store.single() as connection:
        for model, count, failed in (("qwen3:8b", 40, 2), (HOSTILE, 1, 0)):
            await connection.execute(turns, {"model": model, "turns": count, "failed": failed, "attempts": attempts})
