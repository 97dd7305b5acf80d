"""Links and pictures in answers, which are Markdown, and the answers without the pictures that we put there."""

import re

from core.conversation import Message

LONGEST_ALT = 200
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#!|~&$])")
_UNSAFE = str.maketrans({character: f"%{ord(character):02X}" for character in " ()<>\"'\\`|"})
_PICTURE = re.compile(r"!\[((?:\\.|[^\]\\])*)\]\((?:https?:/)?/[^\s()]+\)\n*")


def picture(url: str, alt: str) -> str:
    """A picture as a paragraph of its own; ``alt`` may be any text."""
    return f"!{link(url, alt)}"


def link(url: str, text: str) -> str:
    """A link as a paragraph of its own; ``text`` may be any text."""
    shown = " ".join(text.split())
    if len(shown) > LONGEST_ALT:
        shown = f"{shown[: LONGEST_ALT - 1]}…"
    escaped = _SPECIAL.sub(r"\\\1", shown)
    return f"[{escaped}]({url.translate(_UNSAFE)})\n\n"


def without_pictures(message: Message) -> Message:
    """An answer as a model may see it again: one that sees the address of a picture makes up such addresses itself."""
    text = message.get("content")
    if message["role"] != "assistant" or not isinstance(text, str) or "![" not in text:
        return message
    return message | {"content": _PICTURE.sub(_told, text)}


def _told(found: re.Match[str]) -> str:
    alt = re.sub(r"\\(.)", r"\1", found[1])
    return f"(A picture was shown here: {alt})\n\n" if alt else "(A picture was shown here.)\n\n"
