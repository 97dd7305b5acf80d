"""The ledger of what was used: a line for every turn and run of a tool that ended, written with its end; folded by day later."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, get_args

from sqlalchemy import BigInteger, Boolean, DateTime, Index, Numeric, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base, OfWorkspace, Store

By = Literal["workspace", "model", "day", "token", "tool"]
BY: tuple[By, ...] = get_args(By)


class UsageRow(OfWorkspace, Base):
    """What one turn or tool run came to; ``folded``: all of a day that are alike, added up. ``turns`` and ``tool_runs`` are those
    that were answered, ``errors`` those that failed or broke off. ``cost`` is by the price of that time."""

    __tablename__ = "usage"
    __table_args__ = (
        Index(
            "usage_of_workspace",
            *("workspace", "at"),
            postgresql_include=["turns", "tool_runs", "prompt_tokens", "completion_tokens"],
        ),
        Index(
            "usage_of_token", "token_id", "at", postgresql_include=["turns", "tool_runs", "prompt_tokens", "completion_tokens"]
        ),
        Index("usage_unfolded", "at", postgresql_where=text("NOT folded")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    token_id: Mapped[str] = mapped_column(Text, server_default="")
    provider: Mapped[str] = mapped_column(Text, server_default="")
    model: Mapped[str] = mapped_column(Text, server_default="")
    tool: Mapped[str] = mapped_column(Text, server_default="")
    turns: Mapped[int] = mapped_column(BigInteger, server_default="0")
    tool_runs: Mapped[int] = mapped_column(BigInteger, server_default="0")
    errors: Mapped[int] = mapped_column(BigInteger, server_default="0")
    prompt_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    completion_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    cost: Mapped[Decimal | None] = mapped_column(Numeric(20, 8))
    currency: Mapped[str] = mapped_column(Text, server_default="")
    folded: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))


TURN_USED = """
        INSERT INTO pilothouse.usage (id, workspace, at, token_id, provider, model, turns, errors, prompt_tokens,
            completion_tokens, cost, currency)
        SELECT CAST(:id AS text) || '/' || :owner, turn.workspace,
            now() - make_interval(secs => coalesce(CAST(:duration_ms AS float8), 0) / 1000), coalesce(turn.token_id, ''),
            coalesce(:provider, ''), coalesce(:model, ''), :answered, :errors, :prompt_tokens, :completion_tokens,
            CAST(:cost AS numeric), :currency
        FROM turn
        ON CONFLICT (id) DO UPDATE SET provider = EXCLUDED.provider, model = EXCLUDED.model, turns = EXCLUDED.turns,
            errors = EXCLUDED.errors, prompt_tokens = EXCLUDED.prompt_tokens, completion_tokens = EXCLUDED.completion_tokens,
            cost = EXCLUDED.cost, currency = EXCLUDED.currency
"""
"""Within the statement that ends a ``turn``. Said again by the same process, it is the same line."""
TURN_LOST = """
        INSERT INTO pilothouse.usage (id, workspace, token_id, errors)
        SELECT dead.id || '/' || dead.owner, dead.workspace, coalesce(dead.token_id, ''), 1 FROM dead
        ON CONFLICT (id) DO NOTHING
"""
"""Within the statement that ends the turns of ``dead`` processes: what was held is given back, so they count for nothing."""
RUN_USED = """
        INSERT INTO pilothouse.usage (id, workspace, at, token_id, tool, tool_runs, errors)
        SELECT run.id || '/' || run.owner, run.workspace,
            now() - make_interval(secs => coalesce(run.duration_ms, 0) / 1000.0), coalesce(run.token_id, ''), run.tool_id,
            (run.status = 'done')::int, (run.status <> 'done')::int
        FROM run
        ON CONFLICT (id) DO UPDATE SET tool_runs = EXCLUDED.tool_runs, errors = EXCLUDED.errors
"""
"""Within a statement that ends a ``run`` of a tool, or several."""


@dataclass(frozen=True, slots=True)
class Used:
    """A line of the report. ``cost`` by currency, of what had a price."""

    workspace: str = ""
    day: date | None = None
    token: str = ""
    name: str = ""
    """What people call the token or user."""
    provider: str = ""
    model: str = ""
    tool: str = ""
    turns: int = 0
    tool_runs: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: Mapping[str, float] = field(default_factory=dict)


_COLUMNS_BY: Mapping[By, tuple[str, ...]] = {
    "workspace": ("workspace",),
    "model": ("provider", "model"),
    "day": ("day",),
    "token": ("token",),
    "tool": ("tool",),
}
_COLUMNS = {
    "workspace": "u.workspace",
    "provider": "u.provider",
    "model": "u.model",
    "tool": "u.tool",
    "token": "u.token_id",
    "day": "(u.at AT TIME ZONE :zone)::date",
}
_ONLY: Mapping[By, str] = {"model": "u.model <> ''", "tool": "u.tool <> ''"}
_FOLD = text("""
    WITH gone AS (DELETE FROM pilothouse.usage WHERE NOT folded AND at < :before RETURNING *)
    INSERT INTO pilothouse.usage (id, workspace, at, token_id, provider, model, tool, turns, tool_runs, errors, prompt_tokens,
        completion_tokens, cost, currency, folded)
    SELECT gen_random_uuid()::text, workspace, ((at AT TIME ZONE :zone)::date + time '12:00') AT TIME ZONE :zone, token_id,
        provider, model, tool, sum(turns), sum(tool_runs), sum(errors), sum(prompt_tokens), sum(completion_tokens), sum(cost),
        currency, true
    FROM gone GROUP BY workspace, 3, token_id, provider, model, tool, currency
""")


class Usage:
    """Questions about what was used. Days are those of ``zone``."""

    def __init__(self, store: Store, zone: str = "UTC") -> None:
        self._store = store
        self._zone = zone

    async def report(self, by: By, since: datetime, until: datetime, workspace: str | None = None) -> list[Used]:
        """What was used from ``since`` until before ``until``, of one workspace or of all that whoever asks may see, the most
        first; days in order."""
        names = _COLUMNS_BY[by]
        columns = ", ".join(f"{_COLUMNS[name]} AS {name}" for name in names)
        asked = text(f"""
            SELECT {columns}, u.currency, sum(u.turns) AS turns, sum(u.tool_runs) AS tool_runs, sum(u.errors) AS errors,
                sum(u.prompt_tokens) AS prompt_tokens, sum(u.completion_tokens) AS completion_tokens, sum(u.cost) AS cost
            FROM pilothouse.usage u
            WHERE u.at >= :since AND u.at < :until AND u.workspace = coalesce(:workspace, u.workspace) AND {_ONLY.get(by, "true")}
            GROUP BY {", ".join(str(number + 1) for number in range(len(names)))}, u.currency
        """)  # noqa: S608  (our own text)
        values = {"since": since, "until": until, "workspace": workspace, "zone": self._zone}
        async with self._store.single() as connection:
            rows = (await connection.execute(asked, values)).mappings().all()
        lines: dict[tuple[object, ...], dict[str, object]] = {}
        for row in rows:
            line = lines.setdefault(tuple(row[name] for name in names), {name: row[name] for name in names} | {"cost": {}})
            for name in ("turns", "tool_runs", "errors", "prompt_tokens", "completion_tokens"):
                line[name] = int(str(line.get(name, 0))) + int(row[name])
            if row["cost"] is not None:
                costs = line["cost"]
                assert isinstance(costs, dict)
                costs[row["currency"]] = float(row["cost"])
        found = [Used(**line) for line in lines.values()]  # type: ignore[arg-type]  # the columns of the report
        if by == "token":
            called = await self.names([line.token for line in found])
            found = [replace(line, name=called.get(line.token, "")) for line in found]
        if by == "day":
            return sorted(found, key=lambda each: each.day or date.min)
        return sorted(found, key=lambda each: (-each.prompt_tokens - each.completion_tokens, -each.turns, -each.tool_runs))

    async def fold(self, before: datetime) -> int:
        """Add up what is older, a line for each day of all that is alike; how many lines are left of it."""
        async with self._store.system.single() as connection:
            return (await connection.execute(_FOLD, {"before": before, "zone": self._zone})).rowcount

    async def names(self, ids: list[str]) -> dict[str, str]:
        """What people call tokens and users, by id; for people who may see them."""
        asked = text("""
            SELECT id, name FROM pilothouse.tokens WHERE id = ANY(:ids)
            UNION ALL SELECT 'user:' || id, coalesce(nullif(name, ''), login) FROM pilothouse.users
            WHERE 'user:' || id = ANY(:ids)
        """)
        async with self._store.system.single() as connection:
            return {row.id: row.name for row in await connection.execute(asked, {"ids": ids})}

    async def stored(self, workspace: str) -> int:
        """Bytes of the files that a workspace keeps."""
        asked = text("SELECT coalesce(sum(size), 0) FROM pilothouse.files WHERE workspace = :workspace")
        async with self._store.single() as connection:
            return int((await connection.execute(asked, {"workspace": workspace})).scalar_one())
