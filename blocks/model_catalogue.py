"""Every model of every provider, put together from what each one lists or is configured to have."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog

from blocks.kept_lists import KeptList
from blocks.model_lists import Listing, catalogued
from blocks.ollama import OllamaShelf, is_ollama
from blocks.openai_client import Client
from core.conversation import ToolWay
from core.errors import PilothouseError
from core.model_catalogue import CatalogueModel, by_name, type_by_name
from core.settings import ModelSettings

log = structlog.get_logger(__name__)
FIRST = 6.0
"""Seconds that the very first answer waits for providers; with anything known it waits ``Listing.PATIENCE`` and a little."""
LATER = 1.5


class Catalogued(Protocol):
    """A provider as far as its models go."""

    @property
    def provider(self) -> str:
        """Its name in the configuration."""

    @property
    def last_catalogue(self) -> tuple[CatalogueModel, ...] | None:
        """What it listed last, without asking."""

    async def catalogue(self) -> tuple[CatalogueModel, ...]:
        """What it has; the last good list when asking fails. Raises ``PilothouseError`` when there is none."""


class LiveCatalogue:
    """What one provider lists; an Ollama is asked for each model besides. The last list outlives the process in ``folder``."""

    def __init__(self, provider: str, base_url: str, client: Client, folder: Path | None) -> None:
        self._provider = provider
        self._base_url = base_url
        self._client = client
        root = base_url.rstrip("/").removesuffix("/v1")
        self._ollama = OllamaShelf(lambda path, body: client.ask(f"{root}{path}", body))
        self._kept = KeptList(folder, provider, base_url)
        self._last = self._kept.read()

    def listing(self) -> Listing[CatalogueModel]:
        """The list as it is asked for, beginning with the one that an earlier process kept."""
        return Listing(self.fetch, self._last)

    async def fetch(self) -> tuple[CatalogueModel, ...]:
        """Raises as ``Client.models``."""
        entries = await self._client.models()
        models = catalogued(self._provider, entries)
        if is_ollama(self._base_url, entries):
            models = await self._ollama.described(models)
        if models != self._last:
            await asyncio.to_thread(self._kept.write, models)
            self._last = models
        return models


def configured_catalogue(provider: str, offers: Sequence[ModelSettings], tools: ToolWay) -> tuple[CatalogueModel, ...]:
    """The models that the configuration names, with what it says of them."""
    models = []
    for offer in offers:
        known = by_name(offer.name, provider, offer.type or type_by_name(offer.name) or "llm", offer.context)
        if known.type == "llm":
            able = known.tools if tools == "auto" else tools == "native"
            known = replace(known, max_output=offer.max_output, vision=known.vision or offer.vision, tools=able)
        models.append(known)
    return tuple(models)


async def catalogue_of(providers: Sequence[Catalogued]) -> tuple[CatalogueModel, ...]:
    """Their models, in order, each name once: the first provider that has a model is the one it is listed under.

    Never raises: a provider that does not answer leaves its last list, or nothing and a line in the log.
    """
    if not providers:
        return ()
    asked = [asyncio.create_task(each.catalogue()) for each in providers]
    known = any(each.last_catalogue is not None for each in providers)
    await asyncio.wait(asked, timeout=LATER if known else FIRST)
    models: dict[str, CatalogueModel] = {}
    for each, task in zip(providers, asked, strict=True):
        for model in _outcome(each, task):
            models.setdefault(model.name, model)
    return tuple(models.values())


def _outcome(provider: Catalogued, task: asyncio.Task[tuple[CatalogueModel, ...]]) -> tuple[CatalogueModel, ...]:
    if not task.done():
        task.cancel()  # its refresh goes on by itself
        reason = "no answer yet"
    elif isinstance(error := task.exception(), PilothouseError):
        reason = error.message
    elif error is not None:
        raise error
    else:
        return task.result()
    log.warning("models not listed", provider=provider.provider, reason=reason, instead=len(provider.last_catalogue or ()))
    return provider.last_catalogue or ()
