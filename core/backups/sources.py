"""What is backed up by name: the configured sources and sets, and what Pilothouse saves of itself without being told."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from core.configured import configured
from core.errors import ConfigurationInvalid
from core.schedules import latest
from core.settings import Settings
from core.settings_backups import SourceSettings

OURS, PREFECTS, CONFIGURATION = "pilothouse", "prefect", "configuration"
SECRETS = "secrets"
"""The folder of keys and passwords in the data directory."""
KEY_FILES = (SECRETS, "admin-token")
"""What is saved of the data directory besides the configuration file."""
WITHOUT_ROWS = ("events", "event_resources")
"""Tables of Prefect's that are by far the largest, and only tell what has happened; runs, their states and logs are others."""
UNSEALED = (
    "The key and configuration files are not backed up, since they would lie there readable: "
    "set backups.recipients to a public key of age, and keep the secret one elsewhere."
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What is saved by itself: a source, or a set of several at once. ``schedule`` is a cron line."""

    name: str
    sources: tuple[str, ...]
    schedule: str
    is_set: bool = False

    def is_due(self, last: datetime | None, zone: str, now: datetime) -> bool:
        """Whether the last good one, begun at ``last``, is of before the schedule's latest time."""
        return last is None or last < latest(self.schedule, zone, now)


def sources_of(settings: Settings) -> Mapping[str, SourceSettings]:
    """All sources by name; a configured one takes the place of our own of that name."""
    found: dict[str, SourceSettings] = {}
    if settings.database.url is not None:
        found[OURS] = SourceSettings(url=settings.database.url)
    beside = settings.prefect.database_url
    if beside is not None and beside.get_secret_value().startswith("postgresql"):
        found[PREFECTS] = SourceSettings(url=beside, exclude_data=WITHOUT_ROWS)
    if settings.read_from is not None or (settings.data_dir / SECRETS).is_dir():
        found[CONFIGURATION] = SourceSettings(path=settings.data_dir)
    return {**found, **settings.sources}


def recipients_of(source: SourceSettings, settings: Settings) -> tuple[str, ...]:
    """The public keys that a source's backups are encrypted to."""
    return settings.backups.recipients if source.recipients is None else source.recipients


def left_out(settings: Settings) -> bool:
    """Whether our key and configuration files are not saved, because nothing would encrypt them."""
    ours = CONFIGURATION in sources_of(settings) and CONFIGURATION not in settings.sources
    return ours and not settings.backups.recipients


def source_named(name: str, settings: Settings) -> SourceSettings:
    """Raises ``NotFound``."""
    return configured("source", name, sources_of(settings))


def found_source(name: str, settings: Settings) -> SourceSettings:
    """Raises ``NotFound``, and ``ConfigurationInvalid`` for key files that would lie there readable."""
    source = source_named(name, settings)
    if name == CONFIGURATION and left_out(settings):
        raise ConfigurationInvalid(UNSEALED)
    return source


def units_of(settings: Settings) -> list[Unit]:
    """What schedules save: every set, every source that is in none, and a source of a set that has a schedule of its own."""
    default = settings.backups.schedule
    members = {name for each in settings.sets.values() for name in each.sources}
    units = [Unit(name, each.sources, each.schedule or default, is_set=True) for name, each in settings.sets.items()]
    for name, source in sources_of(settings).items():
        apart = name not in members or source.schedule is not None
        if apart and not (name == CONFIGURATION and left_out(settings)):
            units.append(Unit(name, (name,), source.schedule or default))
    return units


def unit_named(name: str, settings: Settings) -> Unit:
    """A source or a set by its name. Raises ``NotFound`` and ``ConfigurationInvalid``."""
    default = settings.backups.schedule
    if name in settings.sets:
        return Unit(name, settings.sets[name].sources, settings.sets[name].schedule or default, is_set=True)
    configured("source or set", name, {**sources_of(settings), **settings.sets})
    return Unit(name, (name,), found_source(name, settings).schedule or default)


def schedules(settings: Settings) -> list[str]:
    """The cron lines at which something may be due, each once."""
    own = [source.schedule for source in settings.sources.values()] + [each.schedule for each in settings.sets.values()]
    return list(dict.fromkeys([settings.backups.schedule, *(line for line in own if line)]))


def drill_schedules(settings: Settings) -> list[str]:
    """The cron lines at which the newest backups are restored for proof."""
    return [settings.backups.drill_schedule]
