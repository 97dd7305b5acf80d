"""The audit log of a process: what its work tells of is in the database before anybody is told that the work is done."""

import asyncio
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from core.audit.content import Policy, shown
from core.audit.entry import OURSELVES, Entry, Outcome
from core.audit.head import Head, Seal
from core.config import Settings, describe
from core.errors import DatabaseUnavailable
from core.preflight.secrets import secrets_of
from core.settings_audit import AuditSettings
from core.store.audit import Audit
from core.store.base import Store
from core.tools.running import RunningCall
from core.turns import RunningTurn
from flows.ledger import every

log = structlog.get_logger(__name__)

AGAIN, SEAL, EXPIRE = 0.5, 2.0, 3600.0
AT_ONCE = 500
PATIENCE = 2.0
"""Seconds that an answer waits for its entry at most."""
MOST = 10_000
"""Entries that wait for a database that is away; more are told in the log alone."""
OUTCOMES: dict[str, Outcome] = {"done": "success", "failed": "failure", "cancelled": "unknown", "interrupted": "unknown"}


class AuditNotes:
    """What a process adds to the log, an insert for each; whoever seals does so later. ``by``: who asks where nobody is known."""

    def __init__(self, store: Store, content: Policy, by: str = "") -> None:
        self._audit = Audit(store)
        self._content = content
        self._by = by

    async def keep(self, entry: Entry) -> None:
        """Returns when it is in the database. Raises ``DatabaseUnavailable``."""
        await self._audit.note(entry)

    async def settle(self, entry: Entry) -> None:
        """The same, but an answer that is ready is never refused for it, nor kept back for longer than ``PATIENCE``."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.keep(entry)
        except (DatabaseUnavailable, TimeoutError):
            log.warning("audit_entry_late", action=entry.action, actor=entry.actor, outcome=entry.outcome)
        except Exception:  # an answer is not to fail for what the database refuses of its entry
            log.exception("audit_entry_refused", action=entry.action, actor=entry.actor)

    async def turn(self, turn: RunningTurn) -> None:
        """Tell of a turn that has ended, before its reader hears of the end."""
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
        ended = OUTCOMES.get(outcome.status, "failure")
        actor = turn.token_id or self._by
        await self.settle(Entry("model.request", ended, actor=actor, object=turn.session_id or turn.id, details=details))

    async def call(self, call: RunningCall) -> None:
        """Tell of a call of a tool that has ended, before whoever called hears of it."""
        run, outcome = call.run, call.outcome
        if outcome is None:
            return
        details: dict[str, Any] = {"runId": run.id, "source": run.source, "turnId": run.turn_id, "status": outcome.status}
        details |= shown("inputs", run.inputs, self._content) | shown("output", outcome.output or {}, self._content)
        ended = OUTCOMES.get(outcome.status, "failure")
        await self.settle(Entry("tool.run", ended, actor=run.token_id or self._by, object=run.tool_id, details=details))


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    since: float
    written: asyncio.Future[None] | None = None


class AuditLog(AuditNotes):
    """The log of a process that serves: what comes at once is written at once, in one statement; and it seals."""

    def __init__(self, store: Store, settings: AuditSettings, key: str, data_dir: Path) -> None:
        super().__init__(store, settings.content)
        self._keep_months = settings.keep_months
        self._key = key
        self._head = Head(data_dir)
        self._waiting: list[_Waiting] = []
        self._some = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to write and to seal."""
        self._loops.append(asyncio.create_task(self._writes(), name="audit writes"))
        for pause, work in ((SEAL, self._seal), (EXPIRE, self._expire)):
            self._loops.append(asyncio.create_task(every(pause, work), name=f"audit{work.__name__}"))

    async def stop(self) -> None:
        """Write and seal what is left."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        try:
            await self._write()
            await self._seal()
            await self._write()  # what sealing has found
        except DatabaseUnavailable as error:
            log.error("audit_entries_not_kept", entries=len(self._waiting), reason=error.message)

    def note(self, entry: Entry) -> None:
        """Write it as soon as the database takes it."""
        self._add(_Waiting(entry, monotonic()))

    async def keep(self, entry: Entry) -> None:
        """Returns when it is in the database. Raises ``DatabaseUnavailable``; then it is written as soon as that is back."""
        written = asyncio.get_running_loop().create_future()
        self._add(_Waiting(entry, monotonic(), written))
        await written

    def configured(self, settings: Settings) -> None:
        """Tell with which settings this process has begun: which keys are set, by whom, and a hash of all, secrets masked.

        Of each secret there is a mark that only our key can make: another mark is another secret.
        """
        values = [[each.key, each.value] for each in describe(settings)]
        marks = {
            each.where: hmac.digest(self._key.encode(), f"{each.where} {each.value}".encode(), "sha256").hex()[:12]
            for each in secrets_of(settings)
        }
        details = {"set": dict(settings.origins), "secrets": marks, **shown("values", values, "hash")}
        self.note(OURSELVES.entry("configuration.loaded", "success", str(settings.read_from or ""), **details))

    def interrupted(self, ids: Iterable[str]) -> None:
        """Tell of turns and calls of tools that ended with their process: of them nobody else has told."""
        for each in ids:
            self.note(OURSELVES.entry("work.interrupted", "unknown", each))

    def _add(self, waiting: _Waiting) -> None:
        entry = waiting.entry
        if len(self._waiting) >= MOST:
            log.error("audit_entry_not_kept", action=entry.action, actor=entry.actor, outcome=entry.outcome)
            if waiting.written is not None:
                waiting.written.set_exception(DatabaseUnavailable("The audit log takes nothing more: the database is away."))
            return
        self._waiting.append(waiting)
        self._some.set()

    async def _writes(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            try:
                await self._write()
            except DatabaseUnavailable as error:
                log.debug("audit_entries_wait", entries=len(self._waiting), reason=error.message)
                await asyncio.sleep(AGAIN)
                self._some.set()

    async def _write(self) -> None:
        while batch := self._waiting[:AT_ONCE]:
            try:
                await self._kept(batch)
            except DatabaseUnavailable as error:
                for each in batch:
                    if each.written is not None and not each.written.done():
                        each.written.set_exception(error)
                    each.written = None
                raise
            del self._waiting[: len(batch)]
            for each in batch:
                if each.written is not None and not each.written.done():
                    each.written.set_result(None)

    async def _kept(self, batch: list[_Waiting]) -> None:
        now = monotonic()
        try:
            await self._audit.note(*(each.entry for each in batch), ago=[now - each.since for each in batch])
        except DatabaseUnavailable:
            raise
        except Exception:  # one that the database or JSON refuses must not keep the others from being written
            if len(batch) > 1:
                for each in batch:
                    await self._kept([each])
                return
            log.exception("audit_entry_refused", action=batch[0].entry.action, actor=batch[0].entry.actor)

    async def _seal(self) -> None:
        head: Seal | None = None
        while (sealed := await self._audit.seal(self._key)) is not None:
            head = sealed
        if head is None:
            return
        known = await asyncio.to_thread(self._head.read)
        lost = None if known is None or await self._audit.holds(known) else known
        if lost is not None:
            log.error("audit_log_was_cut", batch=lost.number, goes_on_from=head.number)
            self.note(OURSELVES.entry("audit.cut", "failure", str(lost.number), goesOnFrom=head.number))
        await asyncio.to_thread(self._head.write, head, lost)

    async def _expire(self) -> None:
        """Whole months, so that what is gone can be said in a word. Here, where the key for the checkpoint is."""
        if self._keep_months:
            now = datetime.now(UTC)
            month = now.year * 12 + now.month - 1 - self._keep_months
            gone = await self._audit.expire(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC), self._key)
            if gone:
                log.info("audit_entries_expired", entries=gone)
                self.note(OURSELVES.entry("audit.expired", entries=gone))
