"""Telling people: looks at what changed, and brings the outbox to the channels. Runs inside the API process, where it needs
Prefect only to be seen by it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any

import structlog

from blocks.channels import channel_of
from core.alerts.delivering import Delivery, pause
from core.alerts.digest import digest, moment_due
from core.alerts.message import Answer, Channel
from core.alerts.telling import Audience, Outcome, told
from core.alerts.wording import alive, joined, trial
from core.config import Settings
from core.configured import configured
from core.errors import ChannelRefused, ChannelUnavailable, DatabaseUnavailable, PilothouseError
from core.errors import told as error_told
from core.ids import new_id
from core.store.alerts import Alerts
from core.store.base import Store
from core.store.days import Days
from core.store.notices import LEASE_SECONDS, NewNotice, Notices, Sending
from core.store.silences import Silences
from core.store.standings import Standings
from flows.holding import OpenRuns, notices
from flows.ledger import every
from tasks.notices import send_notice

log = structlog.get_logger(__name__)

TICK = 1.0
"""Seconds between two looks at what changed and what waits."""
OPENING = 0.25
"""Seconds that a message waits for a flow run to open before it is tracked as a run of its own."""
PATIENCE = 120.0
"""Seconds that a message waits for a channel that is away before its fallback gets it too."""
UPKEEP = 3600.0
"""Seconds between two looks at what is too old to be kept."""


class Alerting:
    """The dispatcher of one process, whose ``boot_id`` holds the leases on channels.

    Sends are tracked in a flow run of ``open_runs``; without it, in the flow run they are made from.
    """

    def __init__(self, boot_id: str, settings: Settings, store: Store, open_runs: OpenRuns | None = None) -> None:
        self.audience = Audience.of(settings)
        self._boot_id = boot_id
        self._settings = settings
        self._alerts = Alerts(store)
        self._days = Days(store)
        self._notices = Notices(store)
        self._silences = Silences(store)
        self._standings = Standings(store)
        self._open_runs = open_runs
        self._channels: dict[str, Channel] = {}
        self._senders: dict[str, asyncio.Task[None]] = {}
        self._next: dict[str, float] = {}
        """By channel, when the next request may go out (monotonic)."""
        self._loops: list[asyncio.Task[None]] = []
        self._daily: set[str] = set()
        self._closing = False

    async def start(self) -> None:
        """Begin to tell; returns at once."""
        for period, work in ((TICK, self._look), (UPKEEP, self.forget)):
            self._loops.append(asyncio.create_task(every(period, work), name=f"alerts {work.__name__}"))

    async def stop(self, grace: float) -> None:
        """Take no more messages, and let those being sent arrive for ``grace`` seconds; the rest waits for whoever comes next."""
        self._closing = True
        for task in self._loops:
            task.cancel()
        if senders := list(self._senders.values()):
            await asyncio.wait(senders, timeout=grace)
            for task in senders:
                task.cancel()
        await asyncio.gather(*self._loops, *senders, return_exceptions=True)
        with suppress(DatabaseUnavailable):
            await self._notices.release(self._boot_id)

    async def settle(self) -> list[Outcome]:
        """Put what there is to tell now into the outbox; what was told, whoever gets it."""
        rules = self._settings.alerts
        decide = partial(_decided, self.audience)
        outcomes = await self._standings.settle(decide, rules.interval, rules.flap_minutes)
        for outcome in outcomes:
            _log(outcome)
        await self._say_daily(datetime.now(UTC))
        return outcomes

    async def deliver(self) -> int:
        """Send what is due now, to each channel beside the others; how many are left waiting."""
        await self._begin_to_send()
        if self._senders:
            await asyncio.wait(self._senders.values())
        return sum((await self._notices.waiting()).values())

    async def trial(self, name: str) -> Answer:
        """Send one message to a channel now, as any other is sent; what came back.

        Raises ``NotFound``, and what the channel says: ``ChannelRefused``, ``ChannelUnavailable``.
        """
        configured("channel", name, self._settings.channels)
        delivery = Delivery(self._channel(name), trial(new_id(), self.audience.voice(name), datetime.now(UTC)))
        await self._tracked(delivery)
        if delivery.answer is None:
            raise delivery.error or ChannelUnavailable("The test was not sent; try again.")
        return delivery.answer

    async def digest(self, day: str, moment: datetime) -> int:
        """Put the digest of the 24 hours before a moment into every outbox, once for each ``day``; to how many channels."""
        found = await self._days.until(moment)
        voices = {name: self.audience.voice(name) for name in self._settings.channels}
        await self._notices.add(
            NewNotice(name, f"digest:{day}", digest(found, new_id(), voice)) for name, voice in voices.items()
        )
        return len(voices)

    async def forget(self) -> None:
        """Delete what has been over for longer than it is kept."""
        days = self._settings.alerts.keep_days
        for forget in (self._alerts.forget, self._notices.forget):
            while await forget(days):
                pass
        await self._silences.forget(days)

    async def _look(self) -> None:
        await self.settle()
        await self._begin_to_send()

    async def _begin_to_send(self) -> None:
        for name in await self._notices.waiting():
            if name not in self._senders or self._senders[name].done():
                self._senders[name] = self._spawn(self._send_all(name))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._open_runs is not None:
            return self._open_runs.spawn(work)
        return asyncio.create_task(work)

    async def _send_all(self, name: str) -> None:
        """Send what is due in one channel, the oldest first, as long as the channel takes it."""
        try:
            if not await self._notices.hold(name, self._boot_id):
                return
            async with self._held(name):
                while True:
                    await asyncio.sleep(max(0.0, self._next.get(name, 0.0) - monotonic()))
                    if self._closing:
                        return
                    sending = await self._notices.take(name, self._boot_id)
                    if sending is None:
                        return
                    await self._send(sending)
        except DatabaseUnavailable as error:
            log.debug("outbox_away", channel=name, reason=error.message)
        except Exception:
            log.exception("sending_failed", channel=name)

    @asynccontextmanager
    async def _held(self, name: str) -> AsyncIterator[None]:
        async def renew() -> None:
            await self._notices.hold(name, self._boot_id)

        renewing = asyncio.create_task(every(LEASE_SECONDS / 4, renew))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})

    async def _send(self, sending: Sending) -> None:
        settings = self._settings.channels.get(sending.channel)
        if settings is None:
            gone = ChannelRefused(f"Channel {sending.channel} is not configured any more.")
            await self._noted(partial(self._notices.give_up, sending, error_told(gone)))
            log.error("alert_given_up", channel=sending.channel, notices=list(sending.notices), reason=gone.message)
            return
        delivery = Delivery(self._channel(sending.channel), joined(sending.messages, sending.id))
        self._next[sending.channel] = monotonic() + 1 / settings.per_second
        await self._tracked(delivery)
        if delivery.answer is not None:
            await self._noted(partial(self._notices.sent, sending, delivery.answer))
            log.info("notice_sent", channel=sending.channel, notices=list(sending.notices), tries=sending.tries)
            return
        error = delivery.error or ChannelUnavailable("Sending broke off; Pilothouse's log says why.")
        await self._failed(sending, error)

    async def _failed(self, sending: Sending, error: PilothouseError) -> None:
        over = error.permanent or sending.age > self._settings.alerts.give_up_hours * 3600
        seconds = pause(sending.tries, error.retry_after)
        said = {"channel": sending.channel, "notices": list(sending.notices), "tries": sending.tries, "reason": error.message}
        fallback = self._settings.channels[sending.channel].fallback
        if fallback in self._settings.channels and not sending.fell_back and (over or sending.age > PATIENCE):
            await self._noted(partial(self._notices.fall_back, sending, fallback))
        if over:
            await self._noted(partial(self._notices.give_up, sending, error_told(error)))
            log.error("alert_given_up", **said)
        else:
            await self._noted(partial(self._notices.later, sending, seconds, error_told(error)))
            log.warning("notice_put_off", **said, seconds=round(seconds, 1))

    async def _tracked(self, delivery: Delivery) -> None:
        """Try it as a task run; what came of it is in the delivery."""
        done = asyncio.Event()
        inbox = await self._open_runs.place(notices, self._boot_id, OPENING) if self._open_runs is not None else None
        if inbox is None:
            await self._attempted(delivery, done)
        else:
            inbox.put(partial(self._attempted, delivery, done))
        await done.wait()

    async def _attempted(self, delivery: Delivery, done: asyncio.Event) -> None:
        try:
            await send_notice(delivery, return_state=True)  # type: ignore[misc]  # Prefect types the state, not its future
        except Exception:
            # Prefect's own failure: of what the channel says, the delivery tells.
            log.exception("notice_not_tracked", notice=str(delivery))
        finally:
            if not delivery.ended:
                with suppress(PilothouseError):
                    await delivery.attempt()
            done.set()

    async def _noted(self, note: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Keep what came of a send, however long the database is away: forgotten, it would be sent twice."""
        while True:
            try:
                await note()
            except DatabaseUnavailable as error:
                log.warning("notice_not_kept_yet", reason=error.message)
                await asyncio.sleep(TICK)
            else:
                return

    async def _say_daily(self, now: datetime) -> None:
        """What goes out at a time of day, each once, whichever process comes first."""
        zone = self.audience.zone
        clock = self._settings.alerts.digest
        day = moment_due(clock, now, zone) if clock is not None else None
        if day is not None and (key := f"digest:{day}") not in self._daily:
            await self.digest(str(day), now)
            self._daily.add(key)
        for name, channel in self._settings.channels.items():
            day = moment_due(channel.alive, now, zone) if channel.alive is not None else None
            if day is not None and (key := f"alive:{day}:{name}") not in self._daily:
                count = (await self._alerts.counts(now))["open"]
                message = alive(new_id(), self.audience.voice(name), now, count)
                await self._notices.add([NewNotice(name, f"alive:{day}", message)])
                self._daily.add(key)

    def _channel(self, name: str) -> Channel:
        if name not in self._channels:
            self._channels[name] = channel_of(name, self._settings.channels[name], self._settings)
        return self._channels[name]


def _decided(audience: Audience, *given: Any) -> Outcome:
    group, silences, now = given
    return told(group, silences, audience, now)


def _log(outcome: Outcome) -> None:
    message = outcome.told
    if message is None:
        return
    said: Mapping[str, object] = {
        "kind": message.kind,
        "title": message.title,
        "severity": message.severity,
        "alerts": list(outcome.alert_ids),
        "channels": [each.channel for each in outcome.messages],
    }
    (log.info if message.kind == "resolved" else log.warning)("alert", **said)
