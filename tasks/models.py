"""The versions of models: asking a provider for them, and keeping them."""

from collections.abc import Collection, Mapping, Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.model_versions import ModelShelf
from core.model_versions import Changed, Version
from core.store.models import Models
from tasks.retrying import NOWHERE, retried, worth_another_try


@task(
    name="list_versions",
    task_run_name="{shelf}",
    # A provider that is away is looked for again within the hour anyway.
    retries=2,
    retry_delay_seconds=[1, 4],
    retry_jitter_factor=0.5,
    retry_condition_fn=worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
    result_storage=NOWHERE,
    timeout_seconds=120,
)
async def list_versions(shelf: ModelShelf, known: Mapping[str, Version]) -> tuple[Version, ...]:
    """The versions of all models of a provider; see ``ModelShelf.versions``."""
    return await shelf.versions(known)


@retried
async def keep_versions(models: Models, provider: str, seen: Sequence[Version], wanted: Collection[str]) -> list[Changed]:
    """Keep them; what changed."""
    return await models.note(provider, seen, wanted)
