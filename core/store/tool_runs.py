"""Tool runs: what was asked, by whom, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, Boolean, DateTime, ForeignKey, Identity, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from core.errors import Conflict, InputInvalid, NotFound, named
from core.ids import new_id
from core.store.base import SCHEMA, Base, OfWorkspace, Store
from core.store.keepable import as_json
from core.store.usage import RUN_USED
from core.workspaces import current_workspace, home

Status = Literal["queued", "running", "done", "failed", "interrupted"]
REPEAT_SECONDS = 60
"""How long after its end a repeatable run still answers the same call."""


class ToolRun(OfWorkspace, Base):
    """One call of a tool. ``owner`` is the boot id of the process that runs it; ``digest`` is the same for the same call.

    A queued one waits for a flow run and has no owner. A ``repeatable`` one runs or has just ended well: the same call joins it.
    """

    __tablename__ = "tool_runs"
    __table_args__ = (
        Index("tool_runs_repeatable", "digest", unique=True, postgresql_where=text("repeatable")),
        Index("tool_runs_of_turn", "turn_id", postgresql_where=text("turn_id IS NOT NULL")),
        Index("tool_runs_active", "owner", postgresql_where=text("status IN ('queued', 'running')")),
        Index("tool_runs_created", "created_at"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    tool_id: Mapped[str] = mapped_column(Text)
    tool_version: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    token_id: Mapped[str | None] = mapped_column(Text)
    session_id: Mapped[str | None] = mapped_column(Text)
    turn_id: Mapped[str | None] = mapped_column(ForeignKey(f"{SCHEMA}.turns.id", ondelete="CASCADE"))
    owner: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(BYTEA)
    repeatable: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    inputs: Mapped[dict[str, Any]] = mapped_column(JSONB)
    output: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    flow_run_id: Mapped[str | None] = mapped_column(Text)
    task_run_id: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    duration_ms: Mapped[int | None] = mapped_column(Integer)


@dataclass(frozen=True, slots=True)
class NewToolRun:
    """A call about to run, or to wait for a flow run. ``owner`` is a boot id, empty for one that waits."""

    id: str
    tool_id: str
    tool_version: str
    source: str
    owner: str
    digest: bytes
    inputs: Mapping[str, Any]
    token_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    repeatable: bool = False
    workspace: str = field(default_factory=home)


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended. ``error`` as ``core.errors.told`` tells it."""

    status: Literal["done", "failed", "interrupted"]
    output: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    duration_ms: int | None = None
    flow_run_id: str | None = None
    task_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolRunRecord:
    """A tool run as it stands."""

    id: str
    workspace: str
    tool_id: str
    tool_version: str
    status: Status
    source: str
    owner: str
    digest: bytes
    token_id: str | None
    session_id: str | None
    inputs: dict[str, Any]
    output: dict[str, Any] | None
    error: dict[str, Any] | None
    flow_run_id: str | None
    task_run_id: str | None
    duration_ms: int | None

    @property
    def ended(self) -> bool:
        return self.status not in ("queued", "running")

    def given(self) -> dict[str, Any]:
        """The output of a run that has ended. Raises what it ended with."""
        if self.error is not None:
            raise named(self.error)
        return self.output or {}


_RECORD = """
    SELECT id, workspace, tool_id, tool_version, status, source, owner, digest, token_id, session_id, inputs, output, error,
        flow_run_id, task_run_id, duration_ms
    FROM pilothouse.tool_runs
"""
_GET = text(f"{_RECORD} WHERE id = :id AND :workspace IN ('*', workspace)")
_VALUES = """(id, workspace, tool_id, tool_version, status, source, token_id, session_id, turn_id, owner, digest, inputs,
        repeatable)
    VALUES (:id, :workspace, :tool_id, :tool_version, :status, :source, :token_id, :session_id, :turn_id, :owner, :digest,
        CAST(:inputs AS jsonb), :repeatable"""
_INSERT = text(f"INSERT INTO pilothouse.tool_runs {_VALUES}) ON CONFLICT (id) DO NOTHING RETURNING id")
# One statement decides between processes: whoever comes second meets the first one's row in the unique index. What is too old to
# be repeated is taken out of that index before, which the insertion waits for because it counts it.
_INSERT_ONCE = text(f"""
    WITH stale AS (
        UPDATE pilothouse.tool_runs SET repeatable = false
        WHERE digest = :digest AND repeatable AND finished_at < now() - make_interval(secs => :repeat) RETURNING 1
    )
    INSERT INTO pilothouse.tool_runs {_VALUES} AND (SELECT count(*) FROM stale) >= 0)
    ON CONFLICT (digest) WHERE repeatable DO NOTHING RETURNING id
""")  # noqa: S608  (our own text)
_SAME = text(f"{_RECORD} WHERE digest = :digest AND repeatable")
_ENDED = "id, workspace, owner, token_id, tool_id, status, duration_ms"
_FINISH = text(f"""
    WITH run AS (
    UPDATE pilothouse.tool_runs SET status = :status, output = CAST(:output AS jsonb), error = CAST(:error AS jsonb),
        duration_ms = :duration_ms, flow_run_id = :flow_run_id, task_run_id = :task_run_id, finished_at = now(),
        repeatable = repeatable AND :status = 'done'
    WHERE id = :id AND owner = :owner AND status IN ('running', 'interrupted') RETURNING {_ENDED}
    ), used AS ({RUN_USED}    )
    SELECT id FROM run
""")  # noqa: S608  (our own text)
_REAP = text(f"""
    WITH run AS (
    UPDATE pilothouse.tool_runs SET status = 'interrupted', finished_at = now(), repeatable = false,
        error = '{{"code": "tool_interrupted", "message": "The process that ran this tool ended; call it again."}}'
    WHERE status = 'running' AND owner NOT IN (SELECT boot_id FROM pilothouse.processes WHERE lease_until > now())
    RETURNING {_ENDED}
    ), used AS ({RUN_USED}    )
    SELECT id FROM run
""")  # noqa: S608  (our own text)


class ToolRuns:
    """Questions about tool runs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(self, run: NewToolRun) -> ToolRunRecord | None:
        """Write a run that now begins. Of a repeatable one the same run of before, if there is one: then none begins.

        Raises ``NotFound`` when its turn is gone.
        """
        while True:
            try:
                async with self._store.single() as connection:
                    values = _values(run, "running") | {"repeat": REPEAT_SECONDS}
                    if (await connection.execute(_INSERT_ONCE if run.repeatable else _INSERT, values)).scalar_one_or_none():
                        return None
                    same = (await connection.execute(_SAME, {"digest": run.digest})).mappings().one_or_none()
            except IntegrityError as error:
                raise NotFound("The turn that called this tool is gone.") from error
            if same is not None:  # else it failed in between, and there is none to join any more
                return ToolRunRecord(**dict(same))

    async def queue(self, run: NewToolRun) -> None:
        """Keep what a flow run shall run later. The same once more changes nothing; another of the same id is a ``Conflict``."""
        async with self._store.single() as connection:
            if (await connection.execute(_INSERT, _values(run, "queued"))).scalar_one_or_none():
                return
        if (await self.get(run.id)).digest != run.digest:
            raise Conflict("This Idempotency-Key was used with other inputs; use a new key.")

    async def take(self, run_id: str, tool_id: str, owner: str) -> NewToolRun:
        """A queued run, now this owner's; of one that has ended, a new run with the same inputs.

        Raises ``NotFound``, ``InputInvalid`` for a run of another tool, and ``Conflict`` while it runs.
        """
        found = await self.get(run_id)
        if found.tool_id != tool_id:
            raise InputInvalid(f"The tool run {run_id} is one of {found.tool_id}.", field="parameters.tool_id")
        copied = found.ended
        run = NewToolRun(
            id=new_id() if copied else run_id,
            tool_id=tool_id,
            tool_version=found.tool_version,
            source="flow" if copied else found.source,
            owner=owner,
            digest=found.digest,
            inputs=found.inputs,
            token_id=None if copied else found.token_id,
            workspace=found.workspace,
        )
        if copied:
            await self.begin(run)
        elif found.status != "queued" or not await self._claim(run_id, owner):
            raise Conflict(f"The tool run {run_id} runs already.")
        return run

    async def _claim(self, run_id: str, owner: str) -> bool:
        statement = text(
            "UPDATE pilothouse.tool_runs SET status = 'running', owner = :owner WHERE id = :id AND status = 'queued' RETURNING id"
        )
        async with self._store.single() as connection:
            return (await connection.execute(statement, {"id": run_id, "owner": owner})).scalar_one_or_none() is not None

    async def finish(self, run_id: str, owner: str, outcome: CallOutcome) -> bool:
        """Keep how a run ended; False when it is no longer this owner's."""
        values = {
            "id": run_id,
            "owner": owner,
            "status": outcome.status,
            "output": as_json(outcome.output),
            "error": as_json(outcome.error),
            "duration_ms": outcome.duration_ms,
            "flow_run_id": outcome.flow_run_id,
            "task_run_id": outcome.task_run_id,
        }
        async with self._store.single() as connection:
            return (await connection.execute(_FINISH, values)).scalar_one_or_none() is not None

    async def get(self, run_id: str) -> ToolRunRecord:
        """The run as it stands. Raises ``NotFound``."""
        async with self._store.single() as connection:
            row = (await connection.execute(_GET, {"id": run_id, "workspace": current_workspace()})).mappings().one_or_none()
        if row is None:
            raise NotFound("There is no such tool run.")
        return ToolRunRecord(**dict(row))

    async def end_orphans(self) -> list[str]:
        """End the runs of dead processes as ``interrupted``; returns their ids."""
        async with self._store.single() as connection:
            return list((await connection.execute(_REAP)).scalars())


def _values(run: NewToolRun, status: Status) -> dict[str, Any]:
    return {
        "id": run.id,
        "workspace": run.workspace,
        "tool_id": run.tool_id,
        "tool_version": run.tool_version,
        "status": status,
        "source": run.source,
        "token_id": run.token_id,
        "session_id": run.session_id,
        "turn_id": run.turn_id,
        "owner": run.owner,
        "digest": run.digest,
        "inputs": as_json(dict(run.inputs)),
        "repeatable": run.repeatable,
    }
