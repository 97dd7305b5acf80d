"""The audit log of a process: entries are written beside the work that they tell of, and sealed within seconds."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import structlog

from core.audit.content import shown
from core.audit.entry import Entry, Outcome
from core.config import Settings, describe
from core.errors import DatabaseUnavailable
from core.settings_audit import AuditSettings
from core.store.audit import Audit
from core.store.base import Store
from core.tools.running import RunningCall
from core.turns import RunningTurn
from flows.ledger import every

log = structlog.get_logger(__name__)

WRITE, SEAL, EXPIRE = 0.5, 2.0, 3600.0
MOST = 10_000
"""Entries that wait for a database that is away; more are told in the log alone."""
HEAD = "audit-head"
"""The file in the data directory with the number and digest of the newest seal, which the database cannot take back."""
OUTCOMES: dict[str, Outcome] = {"done": "success", "failed": "failure", "cancelled": "unknown", "interrupted": "unknown"}


class AuditLog:
    """``note`` takes an entry at once; ``keep`` returns when it is in the database."""

    def __init__(self, store: Store, settings: AuditSettings, key: str, data_dir: Path) -> None:
        self._audit = Audit(store)
        self._content = settings.content
        self._keep_months = settings.keep_months
        self._key = key
        self._head = data_dir / HEAD
        self._waiting: list[Entry] = []
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to write and to seal."""
        for pause, work in ((WRITE, self._write), (SEAL, self._seal), (EXPIRE, self._expire)):
            self._loops.append(asyncio.create_task(every(pause, work), name=f"audit{work.__name__}"))

    async def stop(self) -> None:
        """Write and seal what is left."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        try:
            await self._write()
            await self._seal()
        except DatabaseUnavailable as error:
            log.error("audit_entries_not_kept", entries=len(self._waiting), reason=error.message)

    def note(self, entry: Entry) -> None:
        """Write it soon. Told in the process's log where too many wait already."""
        if len(self._waiting) >= MOST:
            log.error("audit_entry_not_kept", action=entry.action, actor=entry.actor, outcome=entry.outcome)
        else:
            self._waiting.append(entry)

    async def keep(self, entry: Entry) -> None:
        """Write it now. Raises ``DatabaseUnavailable``."""
        await self._audit.note(entry)

    def configured(self, settings: Settings) -> None:
        """Tell with which settings this process has begun: which keys are set, by whom, and a hash of all, secrets masked."""
        values = [[each.key, each.value] for each in describe(settings)]
        self.note(
            Entry(
                "configuration.loaded",
                "success",
                object=str(settings.read_from or ""),
                details={"set": dict(settings.origins), **shown("values", values, "hash")},
            )
        )

    def turn(self, turn: RunningTurn) -> None:
        """Tell of a turn that has ended."""
        outcome = turn.outcome
        if outcome is None:
            return
        details: dict[str, Any] = {
            "turnId": turn.id,
            "provider": outcome.provider,
            "model": outcome.model,
            "usage": outcome.usage,
            "status": outcome.status,
        }
        details |= shown("question", list(turn.question), self._content) | shown("answer", outcome.answer, self._content)
        self.note(
            Entry("model.request", OUTCOMES.get(outcome.status, "failure"), object=turn.session_id or turn.id, details=details)
        )

    def call(self, call: RunningCall) -> None:
        """Tell of a call of a tool that has ended."""
        run, outcome = call.run, call.outcome
        if outcome is None:
            return
        details: dict[str, Any] = {"runId": run.id, "source": run.source, "turnId": run.turn_id, "status": outcome.status}
        details |= shown("inputs", run.inputs, self._content) | shown("output", outcome.output or {}, self._content)
        ended = OUTCOMES.get(outcome.status, "failure")
        self.note(Entry("tool.run", ended, actor=run.token_id or "", object=run.tool_id, details=details))

    async def _write(self) -> None:
        while batch := self._waiting[:500]:
            await self._audit.note(*batch)
            del self._waiting[: len(batch)]

    async def _seal(self) -> None:
        head = None
        while (sealed := await self._audit.seal(self._key)) is not None:
            head = sealed
        if head is not None:
            await asyncio.to_thread(self._note_head, head.number, head.digest)

    async def _expire(self) -> None:
        """Whole months, so that what is gone can be said in a word. Here, where the key for the checkpoint is."""
        if self._keep_months:
            now = datetime.now(UTC)
            month = now.year * 12 + now.month - 1 - self._keep_months
            gone = await self._audit.expire(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC), self._key)
            if gone:
                log.info("audit_entries_expired", entries=gone)

    def _note_head(self, number: int, digest: bytes) -> None:
        try:
            partial = self._head.with_name(f".{HEAD}")
            partial.write_bytes(orjson.dumps({"batch": number, "digest": digest.hex()}))
            partial.replace(self._head)
        except OSError as error:
            log.warning("audit_head_not_noted", reason=error.strerror)
