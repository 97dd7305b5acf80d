"""Following a run live: one subscription to Prefect per run, fanned out to its readers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from uuid import UUID

import structlog
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId, LogFilterTimestamp
from prefect.client.schemas.objects import FlowRun, Log
from prefect.client.schemas.sorting import LogSort
from prefect.events import Event
from prefect.events.subscribers import FlowRunSubscriber

from core.errors import PilothouseError, PrefectNotReady, told
from core.runs import Cursor, RunEvent
from core.store.runs import Runs
from flows.prefect_link import PrefectLink, in_our_words
from flows.run_log import RunLog
from flows.run_views import is_final, plain, read_run, state_of, viewed
from tasks.runs import PROGRESS

log = structlog.get_logger(__name__)

REREAD = 10.0
"""Seconds without news after which the state is read again: a run's last event can be missed."""
STRAGGLERS = 1
"""Seconds without a log line after a run's end before its stream ends."""
LINGER = 30.0
"""Seconds that a feed without readers, or an ended one, is kept for those who come back."""
CONNECT = 5.0
PAGE = 200
TOLD = ("done", "total", "what", "rate", "tables")
"""What is passed on of a run's progress, where it says it."""
LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


class RunFeed:
    """One run's log, filled from Prefect until the run ends.

    Subscribe first, read what is stored second, and nothing in between is lost; ids make sure that nothing comes twice.
    """

    def __init__(self, link: PrefectLink, runs: Runs, run_id: UUID) -> None:
        self.log = RunLog()
        self.readers = 0
        self.failed = False
        self._link = link
        self._runs = runs
        self._run_id = run_id
        self._seen: set[UUID] = set()
        self._last_log: datetime | None = None

    async def fill(self) -> None:
        """Until the run has ended, or following it failed."""
        try:
            run = await self._read()
            if not is_final(run):
                run = await self._live()
            await self._finish(run)
        except PilothouseError as error:
            self._fail(error)
        except (OSError, TimeoutError) as error:
            self._fail(PrefectNotReady("The connection to Prefect was lost; follow the run again in a moment."))
            log.info("run_feed_lost", run_id=str(self._run_id), error=type(error).__name__)
        except Exception as error:
            self._fail(PrefectNotReady("Following the run failed; try again in a moment."))
            log.warning("run_feed_failed", run_id=str(self._run_id), exc_info=error)
        finally:
            self.log.end()

    def _fail(self, error: PilothouseError) -> None:
        self.failed = True
        self.log.append("error", 0, {"error": told(error)})

    async def _read(self) -> FlowRun:
        return await read_run(self._link, self._run_id)

    async def _live(self) -> FlowRun:
        subscriber = FlowRunSubscriber(self._run_id, straggler_timeout=STRAGGLERS, reconnection_attempts=3)
        async with asyncio.timeout(CONNECT):
            await subscriber.__aenter__()
        try:
            await self._stored()
            run = await self._read()
            while not is_final(run):
                try:
                    async with asyncio.timeout(REREAD):
                        self._take(await anext(subscriber))
                except TimeoutError:
                    run = await self._read()
                except StopAsyncIteration:
                    return await self._read()
            return run
        finally:
            await subscriber.__aexit__(None, None, None)

    async def _finish(self, run: FlowRun) -> None:
        await self._stored()
        view = await viewed(self._link, self._runs, run)
        self.log.append("result", 0, {"state": view.state.type, "result": view.result})

    async def _stored(self) -> None:
        """States and log lines that Prefect has written down and we have not passed on."""
        with in_our_words():
            states = await self._link.client.read_flow_run_states(self._run_id)
            for state in sorted(states, key=lambda state: state.timestamp):
                shown = state_of(state)
                self._state(state.id, state.timestamp, shown.type, shown.name, shown.message)
            lines = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self._run_id]))
            if self._last_log is not None:
                # Lines come in batches; one from another thread may be a little older than the last one seen.
                lines.timestamp = LogFilterTimestamp.model_validate({"after_": self._last_log.timestamp() - 30})
            offset = 0
            while page := await self._link.client.read_logs(lines, limit=PAGE, offset=offset, sort=LogSort.TIMESTAMP_ASC):
                for line in page:
                    self._line(line)
                offset += len(page)
                if len(page) < PAGE:
                    break

    def _take(self, item: Event | Log) -> None:
        if isinstance(item, Log):
            self._line(item)
        elif item.resource.id != f"prefect.flow-run.{self._run_id}":
            return
        elif item.event == PROGRESS:
            if self._new(item.id):
                told = {key: item.payload[key] for key in TOLD if key in item.payload}
                self.log.append("progress", _micros(item.occurred), told)
        elif isinstance(state := item.payload.get("validated_state"), dict):
            self._state(item.id, item.occurred, str(state.get("type")), str(state.get("name")), state.get("message"))

    def _state(self, state_id: UUID, at: datetime, kind: str, name: str, message: str | None) -> None:
        if self._new(state_id):
            self.log.append(
                "state", _micros(at), {"type": kind, "name": name, "message": message or None, "timestamp": plain(at)}
            )

    def _line(self, line: Log) -> None:
        if self._new(line.id):
            self._last_log = max(self._last_log, line.timestamp) if self._last_log else line.timestamp
            data = {
                "level": LEVELS.get(line.level, str(line.level)),
                "logger": line.name,
                "message": line.message,
                "timestamp": plain(line.timestamp),
            }
            self.log.append("log", _micros(line.timestamp), data)

    def _new(self, item_id: UUID) -> bool:
        if item_id in self._seen:
            return False
        self._seen.add(item_id)
        return True


class RunFeeds:
    """The feeds that are being read, one per run."""

    def __init__(self, link: PrefectLink, runs: Runs) -> None:
        self._link = link
        self._runs = runs
        self._feeds: dict[UUID, tuple[RunFeed, asyncio.Task[None]]] = {}

    async def follow(self, run_id: UUID, after: Cursor, beat: float) -> AsyncGenerator[list[RunEvent], None]:
        """Batches of events past ``after``; an empty one after ``beat`` seconds of silence; ``result`` or ``error`` is last."""
        feed = self._feed(run_id)
        feed.readers += 1
        try:
            async with aclosing(feed.log.follow(after, beat)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            feed.readers -= 1
            if feed.failed:
                self._drop(run_id, feed)
            elif not feed.readers:
                asyncio.get_running_loop().call_later(LINGER, self._drop, run_id, feed)

    def _feed(self, run_id: UUID) -> RunFeed:
        if run_id not in self._feeds or self._feeds[run_id][0].failed:
            feed = RunFeed(self._link, self._runs, run_id)
            self._feeds[run_id] = (feed, asyncio.create_task(feed.fill(), name=f"run {run_id}"))
        return self._feeds[run_id][0]

    def _drop(self, run_id: UUID, feed: RunFeed) -> None:
        held, filling = self._feeds.get(run_id, (None, None))
        if held is feed and not feed.readers and filling is not None:
            filling.cancel()
            del self._feeds[run_id]

    async def aclose(self) -> None:
        """End all feeds; their readers end with them."""
        tasks = [filling for _, filling in self._feeds.values()]
        self._feeds.clear()
        for filling in tasks:
            filling.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _final(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


def _micros(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() * 1_000_000)
