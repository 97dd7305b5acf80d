"""What is said about models to the people who talk to them."""

DEMO = (
    "(This is the small English demo model that comes with Pilothouse. For real answers, name a model provider in "
    "pilothouse.toml or by LLM_PROVIDER."
)
OLLAMA = " An Ollama answers on this machine: start with LLM_PROVIDER=ollama to use it."


def demo_notice(*, ollama: bool) -> str:
    """How the demo model's first answer in a conversation begins."""
    return f"{DEMO}{OLLAMA if ollama else ''})\n\n"
