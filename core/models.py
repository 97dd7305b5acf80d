"""What is said about models to the people who talk to them."""

from core.conversation import Message

DEMO = (
    "(This is the small English demo model that comes with Pilothouse. For real answers, name a model provider in "
    "pilothouse.toml or by LLM_PROVIDER."
)
OLLAMA = " An Ollama answers on this machine: start with LLM_PROVIDER=ollama to use it."


def demo_notice(*, ollama: bool) -> str:
    """How the demo model's first answer in a conversation begins."""
    return f"{DEMO}{OLLAMA if ollama else ''})\n\n"


def without_notice(message: Message) -> Message:
    """An answer as its model gave it: one that sees the notice among its own words says it again."""
    text = message.get("content")
    if message["role"] != "assistant" or not isinstance(text, str) or not text.startswith(DEMO):
        return message
    return message | {"content": text.partition(")\n\n")[2]}
