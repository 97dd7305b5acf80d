"""How each model did, counted over all turns of the database: the same from every process, and after any restart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from core.model_calls import FAULTS
from core.store.base import Store

MODELS = 200
"""Models that are counted; a server may list thousands, of which few are used."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A provider's model in a span of time. ``turns``: those it answered, and those in which it failed; ``errors``: in how many
    it failed by its own fault; ``retries``: how often it was asked again; ``fallbacks``: in how many the next model was asked in
    its place. First tokens in seconds from the question to the model, None where it said nothing; ``tokens_per_second`` from the
    first token on, None where its server does not count."""

    provider: str
    model: str
    turns: int = 0
    errors: int = 0
    retries: int = 0
    fallbacks: int = 0
    first_token: float | None = None
    first_token_p95: float | None = None
    tokens_per_second: float | None = None

    @property
    def error_share(self) -> float | None:
        """Of its turns, from 0 to 1; None without any."""
        return self.errors / self.turns if self.turns else None


@dataclass(frozen=True, slots=True)
class Used:
    """A model and when it last answered, or failed to."""

    provider: str
    model: str
    at: datetime


# A loose scan of the index: one look for each model that there is, however many turns.
_KNOWN = """
    WITH RECURSIVE known AS (
        (SELECT provider, model FROM pilothouse.turns
         WHERE provider IS NOT NULL AND model IS NOT NULL AND finished_at IS NOT NULL ORDER BY provider, model LIMIT 1)
        UNION ALL
        SELECT further.provider, further.model FROM known, LATERAL (
            SELECT t.provider, t.model FROM pilothouse.turns t
            WHERE t.provider IS NOT NULL AND t.finished_at IS NOT NULL AND (t.provider, t.model) > (known.provider, known.model)
            ORDER BY t.provider, t.model LIMIT 1) further
    )
"""
_ANSWERED = text(f"""{_KNOWN}
    SELECT known.provider, known.model, f.* FROM (SELECT * FROM known LIMIT {MODELS}) known, LATERAL (
        SELECT count(*) AS turns,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY t.model_first_ms) AS middle,
            percentile_cont(0.95) WITHIN GROUP (ORDER BY t.model_first_ms) AS slow,
            sum(t.model_tokens) FILTER (WHERE t.model_ms > 0 AND t.model_tokens > 1) AS tokens,
            sum(t.model_ms) FILTER (WHERE t.model_ms > 0 AND t.model_tokens > 1) AS spent
        FROM pilothouse.turns t
        WHERE t.provider = known.provider AND t.model = known.model AND t.finished_at > :since
    ) f WHERE f.turns > 0 ORDER BY 1, 2
""")  # noqa: S608  (our own text)
_ONE = text("""
    SELECT CAST(:provider AS text) AS provider, CAST(:model AS text) AS model, count(*) AS turns,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY t.model_first_ms) AS middle,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY t.model_first_ms) AS slow,
        sum(t.model_tokens) FILTER (WHERE t.model_ms > 0 AND t.model_tokens > 1) AS tokens,
        sum(t.model_ms) FILTER (WHERE t.model_ms > 0 AND t.model_tokens > 1) AS spent
    FROM pilothouse.turns t WHERE t.provider = :provider AND t.model = :model AND t.finished_at > :since
""")
# Turns that another model answered after this one was given up count as its own too.
_TROUBLED = text("""
    SELECT a->>'provider' AS provider, a->>'model' AS model,
        count(*) FILTER (WHERE a->>'code' = ANY(:faults)) AS errors,
        coalesce(sum(CAST(a->>'retries' AS int)), 0) AS retries,
        count(*) FILTER (WHERE a ? 'left') AS fallbacks,
        count(*) FILTER (WHERE a->>'provider' <> t.provider OR a->>'model' <> t.model) AS elsewhere
    FROM pilothouse.turns t, jsonb_array_elements(t.attempts) a
    WHERE t.attempts IS NOT NULL AND t.finished_at > :since
        AND (CAST(:provider AS text) IS NULL OR a->>'provider' = :provider AND a->>'model' = :model)
    GROUP BY 1, 2 ORDER BY 1, 2
""")
_USED = text(f"""{_KNOWN}
    SELECT known.provider, known.model, last.at FROM (SELECT * FROM known LIMIT {MODELS}) known, LATERAL (
        SELECT t.finished_at AS at FROM pilothouse.turns t
        WHERE t.provider = known.provider AND t.model = known.model AND t.finished_at IS NOT NULL
        ORDER BY t.finished_at DESC LIMIT 1
    ) last WHERE last.at > :since ORDER BY last.at DESC
""")  # noqa: S608  (our own text)


class ModelFigures:
    """Questions about how models did, in all workspaces together."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def since(self, moment: datetime) -> list[Figures]:
        """Of every model that was asked since then, by provider and name."""
        values = {"since": moment, "faults": list(FAULTS), "provider": None, "model": None}
        async with self._store.single() as connection:
            answered = (await connection.execute(_ANSWERED, values)).mappings().all()
            troubled = (await connection.execute(_TROUBLED, values)).mappings().all()
        found = {(row["provider"], row["model"]): dict(row) for row in answered}
        for row in troubled[:MODELS]:
            found.setdefault((row["provider"], row["model"]), {"provider": row["provider"], "model": row["model"]})
        trouble = {(row["provider"], row["model"]): row for row in troubled}
        return [_figures(row, trouble.get(key)) for key, row in sorted(found.items())]

    async def of(self, provider: str, model: str, moment: datetime) -> Figures:
        """Of one model since then."""
        values = {"since": moment, "faults": list(FAULTS), "provider": provider, "model": model}
        async with self._store.single() as connection:
            answered = (await connection.execute(_ONE, values)).mappings().one()
            troubled = (await connection.execute(_TROUBLED, values)).mappings().one_or_none()
        return _figures(dict(answered), troubled)

    async def used(self, moment: datetime) -> Sequence[Used]:
        """The models that answered, or failed to, since then; the last one first."""
        async with self._store.single() as connection:
            rows = (await connection.execute(_USED, {"since": moment})).mappings().all()
        return [Used(**row) for row in rows]


def _figures(row: Mapping[str, Any], trouble: Mapping[Any, Any] | None) -> Figures:
    spent, tokens = row.get("spent"), row.get("tokens")
    return Figures(
        provider=row["provider"],
        model=row["model"],
        turns=row.get("turns", 0) + (trouble["elsewhere"] if trouble else 0),
        errors=trouble["errors"] if trouble else 0,
        retries=trouble["retries"] if trouble else 0,
        fallbacks=trouble["fallbacks"] if trouble else 0,
        first_token=_seconds(row.get("middle")),
        first_token_p95=_seconds(row.get("slow")),
        tokens_per_second=None if not spent or tokens is None else round(float(tokens) * 1000 / float(spent), 2),
    )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 4)
