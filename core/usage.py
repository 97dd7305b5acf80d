"""What was used and what it cost: counted while a model answers, and added up for the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.answers import carries_content
from core.history import estimate, tokens_of
from core.settings_quotas import PriceSettings

MILLION = 1_000_000


class TokenCount:
    """Tokens of the calls behind one answer: as the models' servers count them, else estimated where something was said."""

    def __init__(self) -> None:
        self.prompt = 0
        self.completion = 0
        self._messages: Sequence[Mapping[str, Any]] = ()
        self._said: list[str] = []
        self._spoke = False
        self._usage: Mapping[str, Any] | None = None

    def asked(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """A call begins."""
        self._messages, self._said, self._spoke, self._usage = messages, [], False, None

    def heard(self, chunk: Mapping[str, Any]) -> None:
        """A chunk came."""
        if usage := chunk.get("usage"):
            self._usage = usage
        if carries_content(chunk):
            self._spoke = True
            for choice in chunk.get("choices") or ():
                delta = choice.get("delta") or {}
                self._said += [text for name in ("content", "reasoning_content") if isinstance(text := delta.get(name), str)]

    def ended(self) -> None:
        """The call is over, in whatever way."""
        if self._usage is not None:
            self.add(self._usage)
        elif self._spoke:
            self.prompt += sum(tokens_of(message) for message in self._messages)
            self.completion += estimate("".join(self._said))
        self._usage, self._spoke = None, False

    def add(self, usage: Mapping[str, Any] | None) -> None:
        """Another call, as its server counted it."""
        self.prompt += _number(usage, "prompt_tokens")
        self.completion += _number(usage, "completion_tokens")


@dataclass(frozen=True, slots=True)
class Cost:
    """What something cost; ``amount`` is None where no price is known."""

    amount: float | None = None
    currency: str = ""


def cost_of(prices: Mapping[str, PriceSettings], provider: str | None, model: str | None, prompt: int, completion: int) -> Cost:
    """By today's price of the model."""
    price = prices.get(f"{provider}/{model}")
    if price is None:
        return Cost()
    return Cost((prompt * price.input + completion * price.output) / MILLION, price.currency)


def _number(usage: Mapping[str, Any] | None, name: str) -> int:
    found = (usage or {}).get(name)
    return found if isinstance(found, int) and found >= 0 else 0
