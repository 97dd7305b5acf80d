"""Which models there are at each provider, in which version, and what changed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Identity, Index, Text, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.model_versions import Change, Changed, Fact, Kind, Version, changes
from core.store.base import Base, Store
from core.store.keepable import as_json, keepable


class ModelRow(Base):
    """A model of a provider as it was last seen. ``gone_at``: its provider does not list it any more."""

    __tablename__ = "models"

    provider: Mapped[str] = mapped_column(Text, primary_key=True)
    model: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    first_seen: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    changed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    gone_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ModelChangeRow(Base):
    """One thing that changed. ``told``: an alert says so, or nobody wants to hear of it."""

    __tablename__ = "model_changes"
    __table_args__ = (
        Index("model_changes_of", "provider", "model", "id"),
        Index("model_changes_untold", "id", postgresql_where=text("NOT told")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    provider: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    change: Mapped[str] = mapped_column(Text)
    before: Mapped[str] = mapped_column(Text)
    after: Mapped[str] = mapped_column(Text)
    what: Mapped[list[str]] = mapped_column(ARRAY(Text))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    told: Mapped[bool]


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model as it was last seen."""

    provider: str
    model: str
    kind: Kind
    digest: str
    details: dict[str, Fact]
    first_seen: datetime
    seen_at: datetime
    changed_at: datetime | None
    gone_at: datetime | None

    @property
    def version(self) -> Version:
        return Version(self.model, self.kind, self.digest, self.details)


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """Something that changed, and when that was noticed."""

    id: int
    provider: str
    model: str
    change: Change
    before: str
    after: str
    what: list[str]
    at: datetime

    @property
    def changed(self) -> Changed:
        return Changed(self.provider, self.model, self.change, self.before, self.after, tuple(self.what))


_SEEN = text("""
    INSERT INTO pilothouse.models AS m (provider, model, kind, digest, details)
    SELECT :provider, r.model, r.kind, r.digest, r.details
    FROM jsonb_to_recordset(CAST(:seen AS jsonb)) AS r (model text, kind text, digest text, details jsonb)
    ON CONFLICT (provider, model) DO UPDATE SET kind = EXCLUDED.kind, digest = EXCLUDED.digest, details = EXCLUDED.details,
        seen_at = now(), gone_at = NULL,
        changed_at = CASE WHEN m.model = ANY(:changed) THEN now() ELSE m.changed_at END
""")
_GONE = text("""
    UPDATE pilothouse.models SET gone_at = now() WHERE provider = :provider AND model = ANY(:models) AND gone_at IS NULL
""")
_CHANGES = text("""
    INSERT INTO pilothouse.model_changes (provider, model, change, before, after, what, told)
    SELECT r.provider, r.model, r.change, r.before, r.after, r.what, NOT r.model = ANY(:wanted)
    FROM jsonb_to_recordset(CAST(:changes AS jsonb))
        AS r (provider text, model text, change text, before text, after text, what text[])
""")
_FORGET = (
    text("DELETE FROM pilothouse.models WHERE gone_at < now() - make_interval(secs => :age)"),
    text("DELETE FROM pilothouse.model_changes WHERE told AND at < now() - make_interval(secs => :age)"),
)
_RETIRE = text("UPDATE pilothouse.models SET gone_at = now() WHERE gone_at IS NULL AND provider <> ALL(:providers)")


class Models:
    """Questions about the models of providers, which belong to the whole installation."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def note(self, provider: str, seen: Sequence[Version], wanted: Collection[str]) -> list[Changed]:
        """Keep what a provider lists now; what changed since the last time. ``wanted``: models of which people are to be told."""
        async with self._store.begin() as connection:
            lock = text("SELECT pg_advisory_xact_lock(hashtextextended('models:' || :provider, 0))")
            await connection.execute(lock, {"provider": provider})
            rows = (await connection.execute(_records().where(ModelRow.provider == provider))).mappings().all()
            known = {row["model"]: ModelRecord(**row) for row in rows}
            gone = [each.model for each in known.values() if each.gone_at is not None]
            found = changes(provider, {name: each.version for name, each in known.items()}, gone, seen)
            changed = [each.model for each in found if each.change == "changed"]
            lost = [each.model for each in found if each.change == "gone"]
            kept = [{"model": v.model, "kind": v.kind, "digest": v.digest, "details": dict(v.details)} for v in seen]
            await connection.execute(_SEEN, {"provider": provider, "seen": as_json(kept), "changed": changed})
            await connection.execute(_GONE, {"provider": provider, "models": lost})
            if found:
                told = [
                    {name: getattr(each, name) for name in ("provider", "model", "change", "before", "after", "what")}
                    for each in found
                ]
                await connection.execute(_CHANGES, {"changes": as_json(told), "wanted": list(wanted)})
        return found

    async def all(self, provider: str | None = None) -> list[ModelRecord]:
        """By provider and name; those that are gone as well."""
        statement = _records().order_by(ModelRow.provider, ModelRow.model)
        if provider is not None:
            statement = statement.where(ModelRow.provider == keepable(provider))
        async with self._store.single() as connection:
            return [ModelRecord(**row) for row in (await connection.execute(statement)).mappings()]

    async def some(self, named: Collection[tuple[str, str]]) -> list[ModelRecord]:
        """Those of these providers and names, tagged ``latest`` or not."""
        if not named:
            return []
        pairs = [*named, *((provider, f"{model}:latest") for provider, model in named)]
        statement = _records().where(tuple_(ModelRow.provider, ModelRow.model).in_(pairs))
        async with self._store.single() as connection:
            return [ModelRecord(**row) for row in (await connection.execute(statement)).mappings()]

    async def changes(self, limit: int = 100, *, untold: bool = False) -> list[ChangeRecord]:
        """The newest first; ``untold``: of those that people are still to be told of the oldest first."""
        columns = tuple(getattr(ModelChangeRow, name) for name in ChangeRecord.__dataclass_fields__)
        statement = select(*columns).limit(limit)
        if untold:
            statement = statement.where(~ModelChangeRow.told).order_by(ModelChangeRow.id)
        else:
            statement = statement.order_by(ModelChangeRow.id.desc())
        async with self._store.single() as connection:
            return [ChangeRecord(**row) for row in (await connection.execute(statement)).mappings()]

    async def told(self, change_id: int) -> None:
        """Note that an alert says so."""
        async with self._store.single() as connection:
            await connection.execute(update(ModelChangeRow).where(ModelChangeRow.id == change_id).values(told=True))

    async def retire(self, providers: Collection[str]) -> int:
        """Take the models of all others for gone, since nobody configures those any more; how many."""
        async with self._store.single() as connection:
            return (await connection.execute(_RETIRE, {"providers": list(providers)})).rowcount

    async def forget(self, days: float) -> int:
        """Delete what is gone, and what changed, longer ago than ``days``; how much."""
        async with self._store.single() as connection:
            return sum([(await connection.execute(each, {"age": days * 86_400})).rowcount for each in _FORGET])


def _records() -> Any:
    return select(*(getattr(ModelRow, name) for name in ModelRecord.__dataclass_fields__))
