"""Services that are judged by what our own database knows of them: backups, drills, and heartbeats of jobs elsewhere.

They answer to the same questions as probes, so that a late backup is told in the same way as a server that is away.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from core.backups.comparing import HARMLESS
from core.backups.guards import Rhythm, check_freshness
from core.backups.sources import units_of
from core.errors import DatabaseUnavailable
from core.settings import Settings
from core.settings_services import Check, ServiceSettings
from core.store.backups import BackupRecord, Backups
from core.store.base import Store
from core.store.drills import DrillRecord, Drills
from core.store.heartbeats import Heartbeats
from core.sweeps.observation import Observation, Probe

LONGEST = 300
"""Characters of an error's message that are told again."""
Clock = Callable[[], datetime]
Facts = dict[str, str | float | int]


def _now() -> datetime:
    return datetime.now(UTC)


class _OurFact(ABC):
    """What is the same for all kinds: a database that is away says nothing about a backup or a job."""

    def __init__(self, name: str, service: ServiceSettings, settings: Settings, store: Store, clock: Clock = _now) -> None:
        self._name = service.name or name
        self._service = service
        self._settings = settings
        self._store = store
        self._clock = clock

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        try:
            return await self._judged(self._clock())
        except DatabaseUnavailable:
            return Observation("unknown", "database", "Nothing is known while our own database does not answer.")

    @abstractmethod
    async def _judged(self, now: datetime) -> Observation:
        """What our database knows at that time."""

    def _grace(self) -> timedelta:
        """The service's own, or what is usual for backups."""
        if "grace" in self._service.model_fields_set:
            return timedelta(seconds=self._service.grace)
        return timedelta(hours=self._settings.backups.grace_hours)


class BackupFact(_OurFact):
    """Whether the last backup of a source went well, and whether the newest good one is as young as its schedules promise."""

    async def _judged(self, now: datetime) -> Observation:
        backups = Backups(self._store)
        newest = next((each for each in await backups.page(2, source=self._name) if each.status != "running"), None)
        good = await backups.newest_good(self._name)
        facts = _backup_facts(good, now)
        if newest is not None and newest.status == "bad":
            return Observation("down", *self._failed(newest), facts=facts)
        if good is None and not await backups.page(1):
            return Observation("unknown", "no_backup", "No backup has been made yet, of anything.")
        for rhythm in self._rhythms():
            warned = check_freshness(self._name, None if good is None else good.started_at, rhythm, now)
            if warned is not None:
                return Observation("down" if good else "degraded", warned.code, warned.message, facts=facts)
        return Observation("up", facts=facts)

    def _failed(self, record: BackupRecord) -> tuple[str, str]:
        error = record.error or {}
        code, message = str(error.get("code", "failed")), str(error.get("message", ""))[:LONGEST]
        return code, f"The last backup of {self._name} ({_shown(record.started_at)}) failed: {message or code}"

    def _rhythms(self) -> list[Rhythm]:
        units = [each for each in units_of(self._settings) if self._name in each.sources]
        schedules = dict.fromkeys([each.schedule for each in units] or [self._settings.backups.schedule])
        return [Rhythm(each, self._settings.timezone, self._grace()) for each in schedules]


class DrillFact(_OurFact):
    """Whether the last drill of a source could restore it, and whether that was when it should be."""

    async def _judged(self, now: datetime) -> Observation:
        found = await Drills(self._store).newest(self._name, limit=1)
        if not found:
            words = f"No backup of {self._name} was restored for proof yet; `pilothouse drill {self._name}` does it now."
            return Observation("unknown", "no_drill", words)
        drill = found[0]
        facts = _drill_facts(drill, now)
        if drill.result not in HARMLESS:
            words = f"The drill of {self._name} on {_shown(drill.at)} ended as {drill.result}: its backup cannot be trusted."
            return Observation("down", drill.result, f"{words} `pilothouse drill {self._name}` tries again.", facts=facts)
        due = Rhythm(self._settings.backups.drill_schedule, self._settings.timezone, self._grace()).due(now)
        if drill.at < due:
            words = (
                f"{self._name} was last drilled on {drill.at:%Y-%m-%d %H:%M} UTC; a drill was due on {due:%Y-%m-%d %H:%M} UTC."
            )
            return Observation("degraded", "drill_late", words, facts=facts)
        if drill.result != "good":
            return Observation("up", message=f"{self._name} had no backup that could be drilled ({drill.result}).", facts=facts)
        return Observation("up", facts=facts)


class HeartbeatFact(_OurFact):
    """Whether a job elsewhere has said in time that it is well: within its period, and its grace after that."""

    async def _judged(self, now: datetime) -> Observation:
        last = await Heartbeats(self._store).last(self._name)
        if last is None:
            words = f"No heartbeat has come yet: have the job call POST /heartbeats/{self._name} each time that it went well."
            return Observation("unknown", "no_heartbeat", words)
        age = max(0.0, (now - last).total_seconds())
        facts: Facts = {"last": last.isoformat(timespec="seconds"), "age_seconds": round(age)}
        if age <= self._service.period:
            return Observation("up", facts=facts)
        words = f"The last heartbeat came on {_shown(last)}; one is due every {_span(self._service.period)}"
        if age <= self._service.period + self._service.grace:
            return Observation("up", message=f"{words}, and may be {_span(self._service.grace)} late.", facts=facts)
        return Observation("down", "missed", f"{words}: look at the job that sends it.", facts=facts)


KINDS: Mapping[Check, type[_OurFact]] = {"backup": BackupFact, "drill": DrillFact, "heartbeat": HeartbeatFact}


def fact_of(name: str, service: ServiceSettings, settings: Settings, store: Store, clock: Clock = _now) -> Probe:
    """What judges a service of a kind in ``KINDS``."""
    return KINDS[service.check](name, service, settings, store, clock)


def _backup_facts(good: BackupRecord | None, now: datetime) -> Facts:
    if good is None:
        return {}
    facts: Facts = {"last_good": good.started_at.isoformat(timespec="seconds"), "age_seconds": _age(good.started_at, now)}
    return facts | ({"size_bytes": good.size} if good.size is not None else {})


def _drill_facts(drill: DrillRecord, now: datetime) -> Facts:
    facts: Facts = {"last": drill.at.isoformat(timespec="seconds"), "age_seconds": _age(drill.at, now), "result": drill.result}
    if drill.seconds is not None:
        facts["recovery_seconds"] = round(drill.seconds, 1)
    return facts


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _age(moment: datetime, now: datetime) -> int:
    return max(0, round((now - moment).total_seconds()))


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} seconds"
