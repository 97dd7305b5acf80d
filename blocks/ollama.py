"""What only Ollama's own API tells: that one answers on this machine, and what the models of a configured one can do."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx

from blocks.model_lists import Entry
from blocks.tls import tls
from core.errors import PilothouseError
from core.model_catalogue import CatalogueModel

ADDRESS = "http://127.0.0.1:11434"
PORT = 11434
NUM_CTX = re.compile(r"^num_ctx\s+(\d+)$", re.MULTILINE)
Ask = Callable[[str, Mapping[str, str] | None], Awaitable[object]]
"""Asks a path of the server, by POST where there is a body; the answer's JSON. Raises ``PilothouseError``."""


def is_ollama(base_url: str, entries: Sequence[Entry]) -> bool:
    """Whether a list of models, or the address it came from, looks like Ollama's."""
    return urlsplit(base_url).port == PORT or any(entry.get("owned_by") == "library" for entry in entries)


class OllamaShelf:
    """The models of one Ollama; what was told of a model is kept until its digest changes."""

    AT_ONCE = 4
    SECONDS = 4.0

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._told: dict[str, tuple[str, Mapping[str, Any]]] = {}

    async def described(self, models: Sequence[CatalogueModel]) -> tuple[CatalogueModel, ...]:
        """The same models with their abilities and context lengths, as far as the server tells them in time."""
        digests = await self._digests()
        turn = asyncio.Semaphore(self.AT_ONCE)

        async def look(name: str, digest: str) -> None:
            async with turn:
                answer = await self._ask("/api/show", {"model": name})
            if isinstance(answer, dict):
                self._told[name] = (digest, answer)

        new = [look(name, digest) for name, digest in digests.items() if self._told.get(name, ("",))[0] != digest]
        try:
            async with asyncio.timeout(self.SECONDS):
                await asyncio.gather(*new, return_exceptions=True)
        except TimeoutError:
            pass  # the rest is asked for next time
        self._told = {name: told for name, told in self._told.items() if name in digests}
        return tuple(_described(model, self._told[model.name][1]) if model.name in self._told else model for model in models)

    async def _digests(self) -> dict[str, str]:
        try:
            answer = await self._ask("/api/tags", None)
        except PilothouseError:
            return {}
        models = answer.get("models") if isinstance(answer, dict) else None
        return {
            str(one["name"]): str(one.get("digest", ""))
            for one in (models if isinstance(models, list) else ())
            if isinstance(one, dict) and "name" in one
        }


def _described(model: CatalogueModel, told: Mapping[str, Any]) -> CatalogueModel:
    abilities = told.get("capabilities")
    if isinstance(abilities, list) and abilities:
        model = replace(
            model,
            type="embedding" if "embedding" in abilities and "completion" not in abilities else model.type,
            vision="vision" in abilities,
            reasoning="thinking" in abilities,
            tools="tools" in abilities,
        )
    return replace(model, context=_context(told) or model.context)


def _context(told: Mapping[str, Any]) -> int | None:
    """The length it is run with where its Modelfile says one, else the length it was made for."""
    if set_to := NUM_CTX.search(str(told.get("parameters") or "")):
        return int(set_to[1])
    about = told.get("model_info")
    lengths = [value for key, value in about.items() if key.endswith(".context_length")] if isinstance(about, dict) else []
    return next((value for value in lengths if isinstance(value, int) and value > 0), None)


class OllamaNearby:
    """An Ollama that nobody configured: named to people who talk to the demo model, not used.

    ``found`` after ``look``, which asks at most once a minute.
    """

    AGAIN = 60.0
    TIMEOUT = 0.3

    def __init__(self, address: str = ADDRESS) -> None:
        self._address = address
        self._looked: float | None = None
        self.found = False

    async def look(self) -> None:
        """Ask its version; where nothing listens that takes a millisecond."""
        if self._looked is not None and monotonic() - self._looked < self.AGAIN:
            return
        self._looked = monotonic()
        try:
            async with httpx.AsyncClient(verify=tls(None), trust_env=False, timeout=self.TIMEOUT) as http:
                answer = await http.get(f"{self._address}/api/version")
        except httpx.HTTPError:
            self.found = False
        else:
            self.found = answer.status_code == 200 and b'"version"' in answer.content
