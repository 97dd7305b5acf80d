"""What we remember of flow runs ourselves: the key a run was triggered with, and the small result it ended with."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Text, func, select, update
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column

from core.errors import Conflict
from core.store.base import Base, Store


class TriggerKey(Base):
    """An ``Idempotency-Key`` and the run it stands for; ``run_id`` is null until Prefect has said it."""

    __tablename__ = "trigger_keys"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    flow: Mapped[str] = mapped_column(Text)
    run_id: Mapped[str | None] = mapped_column(Text)
    body_hash: Mapped[bytes] = mapped_column(BYTEA)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), index=True)


class RunResult(Base):
    """What a run returned: counts and ids, never a message's content."""

    __tablename__ = "run_results"

    run_id: Mapped[str] = mapped_column(Text, primary_key=True)
    flow: Mapped[str] = mapped_column(Text)
    result: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), index=True)


class Runs:
    """Keys and results by flow run."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def reserve(self, key: str, flow: str, body_hash: bytes) -> str | None:
        """The run that ``key`` already stands for; None when it is new, or its run was never confirmed.

        The key is taken before Prefect is asked, so that of two requests at once with different bodies one is refused.
        Raises ``Conflict`` when the key was used with another body.
        """
        async with self._store.begin() as connection:
            await connection.execute(
                insert(TriggerKey).values(key=key, flow=flow, body_hash=body_hash).on_conflict_do_nothing(index_elements=["key"])
            )
            row = (await connection.execute(select(TriggerKey.run_id, TriggerKey.body_hash).where(TriggerKey.key == key))).one()
        if row.body_hash != body_hash:
            raise Conflict("This Idempotency-Key was used with other parameters; use a new key.")
        run_id: str | None = row.run_id
        return run_id

    async def confirm(self, key: str, run_id: str) -> None:
        """Note the run that ``key`` stands for."""
        async with self._store.single() as connection:
            await connection.execute(update(TriggerKey).where(TriggerKey.key == key).values(run_id=run_id))

    async def keep_result(self, run_id: str, flow: str, result: Mapping[str, Any]) -> None:
        """Keep what a run returned; a run tried again replaces its own."""
        statement = insert(RunResult).values(run_id=run_id, flow=flow, result=dict(result))
        async with self._store.single() as connection:
            await connection.execute(
                statement.on_conflict_do_update(index_elements=["run_id"], set_={"result": statement.excluded.result})
            )

    async def result_of(self, run_id: str) -> dict[str, Any] | None:
        """What the run returned, if it did."""
        async with self._store.single() as connection:
            result: dict[str, Any] | None = await connection.scalar(select(RunResult.result).where(RunResult.run_id == run_id))
        return result
