"""Model providers: any endpoint that speaks OpenAI's chat completions, and the set of them that a question may go to."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self
from weakref import WeakKeyDictionary

from prefect.blocks.core import Block
from pydantic import Field, PrivateAttr, SecretStr

from blocks.completions import Chunk, CompletionReader, check_type
from blocks.model_catalogue import LiveCatalogue, catalogue_of, configured_catalogue
from blocks.model_lists import Entry, Listing, listed
from blocks.ollama import OllamaNearby
from blocks.openai_client import Client
from blocks.openai_errors import Redactor
from core.conversation import ChatModel, ModelInfo, ModelRequest, ToolWay
from core.errors import ConfigurationInvalid, ModelUnknown, PilothouseError, ProviderFailed, ProviderUnavailable
from core.model_catalogue import CatalogueModel
from core.models import demo_notice
from core.settings import ModelSettings, ProviderSettings, Settings

NAMED = 20
"""Models that an error message names."""


class _Link:
    """A provider's connections in one event loop."""

    def __init__(self, client: Client, listing: Listing[ModelInfo], catalogue: Listing[CatalogueModel]) -> None:
        self.client = client
        self.listing = listing
        self.catalogue = catalogue


class ModelProvider(Block):
    """An endpoint that speaks OpenAI's chat completions: OpenAI, Azure, Ollama, Xinference, vLLM, llama.cpp.

    Example:
        Load the saved block and read an answer as it comes:

        ```python
        from blocks.models import ModelProvider
        from core.conversation import ModelRequest

        provider = await ModelProvider.aload("ollama")
        question = [{"role": "user", "content": "Why is the sky blue?"}]
        async for chunk in provider.stream(ModelRequest("qwen3:8b", question)):
            print(chunk)
        ```
    """

    _block_type_name: ClassVar[str | None] = "Model Provider"
    _block_type_slug: ClassVar[str | None] = "model-provider"
    _description: ClassVar[str | None] = "An endpoint that speaks OpenAI's chat completions, with its key, models and timeouts."

    name: str = Field(description="What the provider is called in pilothouse.toml, in answers and in logs.")
    base_url: str = Field(description="Where its API begins, with /v1 where it has that. Azure: the resource's endpoint.")
    api_key: SecretStr | None = Field(default=None, description="The key it asks for, if any.")
    kind: Literal["openai", "azure"] = Field(default="openai", description="azure: deployment paths and the api-key header.")
    api_version: str | None = Field(default=None, description="Azure only, such as 2024-10-21.")
    offers: tuple[ModelSettings, ...] = Field(
        default=(), title="Models", description="The models that may be asked for, the default first; empty: those it lists."
    )
    connect_timeout: float = Field(default=5.0, gt=0, description="Seconds for connecting.")
    first_token_timeout: float = Field(
        default=60.0, gt=0, description="Seconds until the first token; then the call has stalled."
    )
    stall_timeout: float = Field(default=60.0, gt=0, description="Seconds between two tokens; then the answer has broken off.")
    retries: int = Field(default=2, ge=0, le=5, description="Further tries before the next provider is asked.")
    demo: bool = Field(default=False, description="The built-in demo model, whose first answer says so.")
    stream_usage: bool = Field(default=True, description="Ask for token counts (stream_options); off where a server refuses it.")
    tools: ToolWay = Field(
        default="auto",
        description="How its models are asked to use tools: native tool calls, an answer constrained by a JSON schema, or off.",
    )
    ca_file: Path | None = Field(default=None, description="A file of further CA certificates to trust.")

    _links: WeakKeyDictionary[asyncio.AbstractEventLoop, _Link] = PrivateAttr(default_factory=WeakKeyDictionary)
    _lists: Path | None = PrivateAttr(default=None)

    @classmethod
    def from_settings(cls, name: str, settings: ProviderSettings, ca_file: Path | None = None, lists: Path | None = None) -> Self:
        """The provider ``[providers.NAME]``; touches no server. Raises ``ConfigurationInvalid`` for what cannot work.

        ``lists`` is the folder in which the last good list of its models is kept for the next process.
        """
        if settings.kind == "azure":
            for key in ("api_version", "api_key", "models"):
                if not getattr(settings, key):
                    raise ConfigurationInvalid(f'providers.{name}.{key} is missing: kind = "azure" needs it.')
        fields = settings.model_dump(include=set(cls.model_fields) - {"offers", "ca_file"})
        provider = cls(name=name, offers=settings.models, ca_file=ca_file, **fields)
        provider._lists = lists
        return provider

    @property
    def provider(self) -> str:
        return self.name

    @property
    def configured(self) -> tuple[ModelInfo, ...]:
        """The chat models that the configuration names."""
        return tuple(
            ModelInfo(m.name, self.name, m.context, m.vision, m.max_output, self.tools) for m in self.offers if m.is_chat
        )

    @property
    def last_catalogue(self) -> tuple[CatalogueModel, ...] | None:
        """See ``Catalogued.last_catalogue``."""
        return configured_catalogue(self.name, self.offers, self.tools) if self.offers else self._link().catalogue.good

    async def catalogue(self) -> tuple[CatalogueModel, ...]:
        """See ``Catalogued.catalogue``."""
        return configured_catalogue(self.name, self.offers, self.tools) or await self._link().catalogue.get()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """See ``ChatModel.stream``."""
        first_by = asyncio.get_running_loop().time() + self.first_token_timeout
        who = f'Provider "{self.name}", model "{request.model}",'
        redactor = Redactor(self._key, request.messages)
        try:
            async with asyncio.timeout_at(first_by):
                response = await self._link().client.open(request, who, redactor)
        except TimeoutError:
            raise ProviderUnavailable(f"{who} did not answer within {self.first_token_timeout:g} s.") from None
        reader = CompletionReader(response, who, redactor, first_by, self.stall_timeout)
        try:
            check_type(response, who)
            while chunks := await reader.batch():
                for chunk in chunks:
                    yield chunk
        finally:
            await reader.aclose()

    async def models(self) -> tuple[ModelInfo, ...]:
        """See ``ChatModel.models``."""
        return self.configured if self.offers else await self._link().listing.get()

    async def models_now(self) -> tuple[ModelInfo, ...]:
        """``models``, with the provider's own list asked for again if it is older than two seconds."""
        return self.configured if self.offers else await self._link().listing.get(at_most=2.0)

    async def entries(self) -> tuple[Entry, ...]:
        """Its own list as it came, asked for now. Raises ``ProviderFailed`` and ``ProviderUnavailable``."""
        return await self._link().client.models()

    async def ask(self, address: str, body: Mapping[str, str] | None = None) -> object:
        """The JSON at an address of its server, by POST where there is a body; None for no JSON. Raises as ``entries``."""
        return await self._link().client.ask(address, body)

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        if link := self._links.pop(asyncio.get_running_loop(), None):
            await link.client.aclose()

    @property
    def _key(self) -> str:
        return self.api_key.get_secret_value() if self.api_key else ""

    def _link(self) -> _Link:
        loop = asyncio.get_running_loop()
        if (link := self._links.get(loop)) is None:
            client = Client(
                self.name,
                base_url=self.base_url,
                api_key=self._key,
                kind=self.kind,
                api_version=self.api_version,
                connect_timeout=self.connect_timeout,
                stream_usage=self.stream_usage,
                ca_file=self.ca_file,
            )

            async def chat_models() -> tuple[ModelInfo, ...]:
                return listed(self.name, await client.models(), self.tools)

            catalogue = LiveCatalogue(self.name, self.base_url, client, self._lists)
            link = self._links[loop] = _Link(client, Listing(chat_models), catalogue.listing())
        return link


class Models:
    """The providers of one process, in the order in which they are asked."""

    def __init__(self, providers: Sequence[ModelProvider]) -> None:
        self._providers = tuple(providers)
        self._ollama = OllamaNearby()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Every ``[providers.X]``, lower ``order`` first. Touches no server."""
        ordered = sorted(settings.providers.items(), key=lambda item: item[1].order)
        lists = settings.data_dir / "model-lists"
        return cls([ModelProvider.from_settings(name, each, settings.ca_file, lists) for name, each in ordered])

    async def resolve(self, model: str | None = None) -> list[tuple[ModelProvider, ModelInfo]]:
        """Whom to ask, and whom next if that fails.

        No model: every provider's first one. A model's name, or ``provider/name``: the providers that have it.
        Raises ``ModelUnknown`` naming what there is, ``ProviderUnavailable`` when no provider can be asked what it has,
        ``ProviderFailed`` when none is configured.
        """
        if not self._providers:
            raise ProviderFailed("No model provider is configured: add [providers.NAME] with a base_url to pilothouse.toml.")
        found = _candidates(await self._listed(now=False), model)
        if not found and model is not None:  # it may be new
            found = _candidates(await self._listed(now=True), model)
        if not found:
            raise ModelUnknown(_unknown(model, await self.all()), field="model")
        if found[0][0].demo:
            await self._ollama.look()
        return found

    async def all(self) -> tuple[ModelInfo, ...]:
        """Every model that can be asked for now; providers that do not answer are left out."""
        return tuple(info for _, infos in await self._listed(now=False) for info in infos)

    async def catalogue(self) -> tuple[CatalogueModel, ...]:
        """Every model of every kind, each name once; see ``catalogue_of``."""
        return await catalogue_of(self._providers)

    def notice(self, model: ChatModel) -> str | None:
        """What the first answer of a conversation begins with: that a demo model speaks, and what is better nearby."""
        if not any(provider.demo and provider is model for provider in self._providers):
            return None
        return demo_notice(ollama=self._ollama.found)

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        for provider in self._providers:
            await provider.aclose()

    async def _listed(self, *, now: bool) -> list[tuple[ModelProvider, tuple[ModelInfo, ...]]]:
        """Each provider with its models; raises the first failure when not one of them could be asked."""
        known = {at: provider.configured for at, provider in enumerate(self._providers) if provider.offers}
        asked = [at for at in range(len(self._providers)) if at not in known]
        calls = ((self._providers[at].models_now if now else self._providers[at].models)() for at in asked)
        failures: list[PilothouseError] = []
        for at, answer in zip(asked, await asyncio.gather(*calls, return_exceptions=True) if asked else (), strict=True):
            if isinstance(answer, PilothouseError):
                failures.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                known[at] = answer
        if failures and not known:
            raise failures[0]
        return [(self._providers[at], known[at]) for at in sorted(known)]


def _candidates(
    listed: Sequence[tuple[ModelProvider, tuple[ModelInfo, ...]]], model: str | None
) -> list[tuple[ModelProvider, ModelInfo]]:
    if model is None:
        return [(provider, infos[0]) for provider, infos in listed if infos]
    named = [(provider, info) for provider, infos in listed for info in infos if info.name == model]
    return named or [(provider, info) for provider, infos in listed for info in infos if f"{provider.name}/{info.name}" == model]


def _unknown(model: str | None, available: Sequence[ModelInfo]) -> str:
    names = [info.name for info in available]
    listing = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    what = "No provider has a model" if model is None else f'No provider has a model "{model[:100]}"'
    return f"{what}; available: {listing or 'none'}."
