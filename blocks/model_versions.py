"""What a provider says of the versions of its models: Ollama's digests, a file's own, or the facts in its list."""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import file_digest
from pathlib import Path
from time import time
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from blocks.demo_weights import demo_weights
from blocks.model_lists import Entry
from blocks.models import ModelProvider
from blocks.ollama import is_ollama
from core.errors import ProviderFailed
from core.model_versions import Fact, Version, listed_version
from core.settings import Settings

MOST = 5000
"""Models of one provider that are kept; no server of its own lists as many."""
LONGEST = 300
"""Characters of a name or a fact."""
TOLD = (
    *("owned_by", "root", "parent", "max_model_len", "context_length", "quantization", "model_size_in_billions", "model_format"),
    *("model_revision", "revision", "version", "sha", "hugging_face_id", "canonical_slug", "model_family", "model_type"),
)
"""Facts that go with a model's weights, as vLLM, Xinference, OpenRouter and others tell them."""
META = ("vocab_type", "n_vocab", "n_ctx_train", "n_embd", "n_params", "size", "ftype")
"""The same in llama.cpp's ``meta``."""
JUST_NOW = 300.0
"""Seconds: a model that was made when it was asked for is one of a server that does not know when that was (vLLM, llama.cpp)."""
AT_ONCE = 4


class ModelShelf:
    """One provider's models. Not a dataclass: Prefect searches those that a task is given."""

    def __init__(self, provider: ModelProvider, weights: Path | None = None) -> None:
        """``weights``: the file of the one model that it serves, where that is known."""
        self._provider = provider
        self._weights = weights

    @classmethod
    def from_settings(cls, name: str, settings: Settings) -> Self:
        """That of ``[providers.NAME]``; touches no server."""
        given = settings.providers[name]
        provider = ModelProvider.from_settings(name, given, settings.ca_file)
        return cls(provider, demo_weights() if given.demo else None)

    def __str__(self) -> str:
        return self._provider.name

    async def versions(self, known: Mapping[str, Version]) -> tuple[Version, ...]:
        """Of every model that it lists; of a file that is as it was the digest in ``known`` still holds.

        Raises as ``ModelProvider.entries``: a provider of which only a part answered says nothing.
        """
        entries = [one for one in await self._provider.entries() if _sound(one["id"])][:MOST]
        if self._weights is not None and len(entries) == 1:
            name = str(entries[0]["id"])
            return (await asyncio.to_thread(_of_file, self._weights, name, known.get(name)),)
        if is_ollama(self._provider.base_url, entries):
            return await self._of_ollama()
        now = time()
        return tuple(listed_version(str(one["id"]), facts_of(one, now)) for one in entries)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._provider.aclose()

    async def _of_ollama(self) -> tuple[Version, ...]:
        answer = await self._provider.ask(_at_root(self._provider.base_url, "/api/tags"))
        tags = answer.get("models") if isinstance(answer, dict) else None
        if not isinstance(tags, list):
            raise ProviderFailed(f'Provider "{self._provider.name}" sent no list of models at /api/tags: is it an Ollama?')
        found = {str(one["name"]): one for one in tags if isinstance(one, dict) and "name" in one and _sound(one["name"])}
        turn = asyncio.Semaphore(AT_ONCE)

        async def version(name: str, tag: Mapping[str, Any]) -> Version:
            details = _scalars(tag, ("size",)) | _scalars(tag.get("details"), ("family", "parameter_size", "quantization_level"))
            if digest := str(tag.get("digest") or ""):
                return Version(name, "ollama", digest[:LONGEST], details)
            async with turn:  # something that only speaks like an Ollama
                told = await self._provider.ask(_at_root(self._provider.base_url, "/api/show"), {"model": name})
            about = told.get("model_info") if isinstance(told, dict) else None
            return listed_version(name, details | _scalars(about, sorted(about) if isinstance(about, dict) else ()))

        return tuple(await asyncio.gather(*(version(name, tag) for name, tag in list(found.items())[:MOST])))


def facts_of(entry: Entry, now: float) -> dict[str, Fact]:
    """What a list says of a model that goes with its version; ``now`` is when it was asked, in seconds since 1970."""
    meta = _scalars(entry.get("meta"), META)
    facts = _scalars(entry, TOLD) | {f"meta.{name}": value for name, value in meta.items()}
    created = entry.get("created")
    told = isinstance(created, int | float) and not isinstance(created, bool) and 0 < created < now - JUST_NOW
    return facts | ({"created": created} if told and created is not None else {})


def _scalars(about: object, names: Sequence[str]) -> dict[str, Fact]:
    if not isinstance(about, dict):
        return {}
    found: dict[str, Fact] = {}
    for name in names:
        value = about.get(name)
        if isinstance(value, str):
            found[name] = value[:LONGEST]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    return found


def _of_file(path: Path, name: str, before: Version | None) -> Version:
    about = path.stat()
    details: dict[str, Fact] = {"file": path.name, "size": about.st_size, "mtime_ns": about.st_mtime_ns}
    if before is not None and before.kind == "file" and before.details == details:
        return before
    with path.open("rb") as file:
        return Version(name, "file", f"sha256:{file_digest(file, 'sha256').hexdigest()}", details)


def _at_root(base_url: str, path: str) -> str:
    """A path of the server's own API, which lies beside OpenAI's."""
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/").removesuffix("/v1") + path))


def _sound(name: object) -> bool:
    """Whether it may be shown and kept: some text without control characters."""
    return isinstance(name, str) and 0 < len(name) <= LONGEST and name.isprintable()
