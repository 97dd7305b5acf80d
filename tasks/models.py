"""The versions of models: asking a provider for them, and keeping them."""

from collections.abc import Collection, Mapping, Sequence

from blocks.model_versions import ModelShelf
from core.model_versions import Changed, Version
from core.store.models import Models
from tasks.retrying import retried, tried


# A provider that is away is looked for again within the hour anyway.
@tried(120, (1, 4), run_name="{shelf}")
async def list_versions(shelf: ModelShelf, known: Mapping[str, Version]) -> tuple[Version, ...]:
    """The versions of all models of a provider; see ``ModelShelf.versions``."""
    return await shelf.versions(known)


@retried
async def keep_versions(models: Models, provider: str, seen: Sequence[Version], wanted: Collection[str]) -> list[Changed]:
    """Keep them; what changed."""
    return await models.note(provider, seen, wanted)
