"""The shapes of a conversation with a model: what is asked, what may be asked for, and who answers."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Message = dict[str, Any]
"""One OpenAI chat message: ``role``, ``content`` and what else the role allows."""


ToolWay = Literal["auto", "native", "schema", "off"]
"""How a model is asked to use our tools: by OpenAI's tool calls, by an answer that a JSON schema constrains, or not at all."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model: ``options`` are OpenAI parameters passed on as they came (temperature, tools, response_format …)."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be asked for. ``context`` and ``max_output`` in tokens."""

    name: str
    provider: str
    context: int
    vision: bool
    max_output: int | None = None
    tools: ToolWay = "auto"


class ChatModel(Protocol):
    """A provider of chat completions."""

    @property
    def provider(self) -> str:
        """Its name in the configuration."""

    @property
    def retries(self) -> int:
        """Further tries that a call deserves before its first token, when it failed with ``ProviderUnavailable``."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[dict[str, Any], None]:
        """Chunks (``chat.completion.chunk`` objects) as they come; closing the generator ends the call upstream.

        Raises ``ProviderFailed`` (permanent), ``ContextExceeded`` (by the provider's own count of tokens) and
        ``ProviderUnavailable`` (worth another try; ``retry_after`` where it was told).
        """

    async def models(self) -> tuple[ModelInfo, ...]:
        """The configured models, else the provider's own list (cached; the last good one when it fails)."""

    async def aclose(self) -> None:
        """Release connections; calls still running end."""


Candidate = tuple[ChatModel, ModelInfo]
"""Whom a question may go to, and which of its models."""
