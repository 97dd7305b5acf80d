"""Which flows there are: known from the code alone, with no server asked and no flow module loaded until it is needed."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from core.backups.sources import drill_schedules, schedules, source_named, unit_named
from core.changes import change_named
from core.config import Settings
from core.errors import ConfigurationInvalid, InputInvalid, NotFound
from core.model_versions import provider_named
from core.settings_backups import OWN_SOURCES
from core.sweeps.pace import sweep_schedules

if TYPE_CHECKING:
    from prefect import Flow

TAG = "pilothouse"
"""On every deployment and run of ours."""
Find = Callable[[str, Settings], object]
"""What finds something of the configuration by its name; raises ``NotFound`` or ``ConfigurationInvalid``."""


@dataclass(frozen=True)
class Schedule:
    """When a flow runs by itself, in the configured timezone, and the parameters that such a run gets."""

    cron: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class CatalogueEntry:
    """A flow and its deployment of the same name. An ``internal`` flow cannot be triggered and has no deployment."""

    name: str
    module: str
    concurrency: int | None = None
    """Runs at once; one more waits (``ENQUEUE``). None means no limit."""
    schedule: Schedule | None = None
    one_of: tuple[str, ...] = ()
    """Parameters of which exactly one is to be given, which a schema made from a signature cannot say."""
    internal: bool = False
    planned: Callable[[Settings], Sequence[str]] | None = None
    """The cron lines that the settings say in place of the schedule's."""
    names: Mapping[str, Find] = field(default_factory=lambda: MappingProxyType({}))
    """Parameters that name something of the configuration."""
    scopes: tuple[str, ...] = ()
    """Scopes of tokens, besides ``flows:NAME``, that may see and cancel its runs: those with which runs are made elsewhere."""

    @property
    def entrypoint(self) -> str:
        """In module form: the file form would load the module a second time under another name."""
        return f"{self.module}.{self.name}"

    def schedules(self, settings: Settings) -> list[Schedule]:
        """When it runs by itself, by these settings."""
        if self.schedule is None:
            return []
        lines = self.planned(settings) if self.planned is not None else [self.schedule.cron]
        return [Schedule(line, self.schedule.parameters) for line in lines]

    @property
    def deployment(self) -> str:
        """The name by which Prefect knows the deployment."""
        return f"{self.name}/{self.name}"

    @cached_property
    def flow(self) -> "Flow[..., Any]":
        """The flow object; loads its module."""
        return cast("Flow[..., Any]", getattr(import_module(self.module), self.name))

    @property
    def description(self) -> str:
        """The first paragraph of the flow's docstring."""
        return inspect.cleandoc(self.flow.fn.__doc__ or "").split("\n\n")[0].replace("\n", " ")

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the parameters, the same that Prefect's own form is made from."""
        from prefect.utilities.callables import parameter_schema  # noqa: PLC0415  (Prefect takes a second to import)

        return parameter_schema(self.flow).model_dump_for_openapi()

    @cached_property
    def model(self) -> type[BaseModel]:
        """The parameters as a model that refuses unknown names."""
        hints = get_type_hints(self.flow.fn, include_extras=True)
        fields: dict[str, Any] = {
            name: (hints.get(name, Any), ... if parameter.default is parameter.empty else parameter.default)
            for name, parameter in inspect.signature(self.flow.fn).parameters.items()
        }
        return create_model(self.name, __config__=ConfigDict(extra="forbid"), **fields)

    def checked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """``parameters`` as JSON values of the right types, defaults left out. Raises ``InputInvalid`` naming the field."""
        try:
            valid = self.model.model_validate(dict(parameters))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in ("parameters", *first["loc"]))
            known = ", ".join(self.model.model_fields) or "none"
            hint = f" (known: {known})" if first["type"] == "extra_forbidden" else ""
            raise InputInvalid(f"{where}: {first['msg']}{hint}.", field=where) from error
        given = valid.model_dump(mode="json", exclude_unset=True)
        if self.one_of and sum(given.get(name) is not None for name in self.one_of) != 1:
            raise InputInvalid(f"Give exactly one of {', '.join(self.one_of)}.", field=f"parameters.{self.one_of[0]}")
        return given

    def require_configured(self, parameters: Mapping[str, Any], settings: Settings) -> None:
        """Raises ``InputInvalid`` for a name of nothing that is configured: a run would only find that out after its start."""
        for name, find in self.names.items():
            if (given := parameters.get(name)) is None:
                continue
            try:
                find(given, settings)
            except (NotFound, ConfigurationInvalid) as error:
                raise InputInvalid(f"parameters.{name}: {error.message}", field=f"parameters.{name}") from error


def _unless_ours(find: Find) -> Find:
    """Our own sources are known to the process that saves them, which may be another one."""
    return lambda name, settings: None if name in OWN_SOURCES else find(name, settings)


CATALOGUE: Mapping[str, CatalogueEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            CatalogueEntry("conversation", "flows.holding", internal=True),
            CatalogueEntry("tool_calls", "flows.holding", internal=True),
            CatalogueEntry("notices", "flows.holding", internal=True),
            CatalogueEntry("chat_turn", "flows.chat", concurrency=8, one_of=("turn_id", "message_id")),
            CatalogueEntry("tool_run", "flows.tool_runs", concurrency=4, scopes=("tools",)),
            CatalogueEntry(
                "purge_history",
                "flows.upkeep",
                concurrency=1,
                schedule=Schedule("0 3 * * *", MappingProxyType({"dry_run": False})),
            ),
            CatalogueEntry(
                "expire_files",
                "flows.files",
                concurrency=1,
                schedule=Schedule("30 3 * * *", MappingProxyType({"dry_run": False})),
            ),
            CatalogueEntry(
                "backup",
                "flows.backups",
                concurrency=4,
                schedule=Schedule("0 2 * * *"),
                planned=schedules,
                names=MappingProxyType({"name": _unless_ours(unit_named)}),
            ),
            CatalogueEntry("prune", "flows.backups", concurrency=1),
            CatalogueEntry("send_alerts", "flows.alerts", concurrency=1),
            CatalogueEntry("digest", "flows.alerts", concurrency=1),
            CatalogueEntry("restore", "flows.restoring", concurrency=1),
            CatalogueEntry("guarded_change", "flows.changes", concurrency=1, names=MappingProxyType({"name": change_named})),
            CatalogueEntry(
                "health_sweep", "flows.sweeps", concurrency=2, schedule=Schedule("*/5 * * * *"), planned=sweep_schedules
            ),
            CatalogueEntry(
                "drill",
                "flows.drilling",
                concurrency=1,
                schedule=Schedule("0 4 * * 0"),
                planned=drill_schedules,
                names=MappingProxyType({"name": _unless_ours(source_named)}),
            ),
            CatalogueEntry(
                "sync_models",
                "flows.models",
                concurrency=1,
                schedule=Schedule("15 * * * *"),
                names=MappingProxyType({"provider": provider_named}),
            ),
            CatalogueEntry("preflight", "flows.preflight", concurrency=1, schedule=Schedule("30 6 * * *")),
        )
    }
)


def deployable() -> list[CatalogueEntry]:
    """The flows that may be triggered, each with its deployment."""
    return [entry for entry in CATALOGUE.values() if not entry.internal]


def scheduled(settings: Settings) -> list[str]:
    """The names of the flows that run by themselves, by these settings."""
    return [entry.name for entry in deployable() if entry.schedules(settings)]


def triggerable(name: str) -> CatalogueEntry:
    """Raises ``NotFound``, naming the flows there are."""
    entry = CATALOGUE.get(name)
    if entry is None or entry.internal:
        names = ", ".join(sorted(known.name for known in deployable()))
        raise NotFound(f"There is no flow of that name to trigger; there are: {names}.")
    return entry
