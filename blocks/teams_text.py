"""Plain text as Teams shows it unchanged, and cut to a size: cards read Markdown, and a Workflow takes 28,672 bytes.

Those bytes are counted after the service has written the card anew, with escapes for what is not plain ASCII and for what HTML
would take for its own. So a text costs the larger of two: its bytes as we send them, and five sevenths of its bytes with all of
that escaped. Texts that cost 20,000 together are then at most 20,000 bytes as sent and 28,000 as written anew.
"""

import json
import re
import unicodedata

_BREAKS = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")
_UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Controls, what turns the direction of writing, and halves of characters."""
_SPECIAL = re.compile(r"[\\`*_\[\]<>#~&]|(?<=\{)\{")
_AT_START = re.compile(r"(?m)^([-+=]|\d+(?=[.)]))")
_HTML = "<>&'+`"
MORE = "…"


def line(text: str) -> str:
    """The text on one line, without what cannot be seen."""
    return " ".join(_UNSEEN.sub("", _BREAKS.sub(" ", text)).split())


def paragraphs(text: str) -> str:
    """The text line by line, without empty ones."""
    return "\n".join(filter(None, map(line, _BREAKS.split(text))))


def escaped(text: str) -> str:
    """For Markdown: what ``line`` or ``paragraphs`` gave, letter by letter, each of its lines a paragraph."""
    text = _SPECIAL.sub(lambda found: f"\\{found[0]}", text)
    text = _AT_START.sub(lambda found: f"{found[0]}\\" if found[0].isdecimal() else f"\\{found[0]}", text)
    return text.replace("\n", "\n\n")


def cost(text: str) -> int:
    """See above; in bytes, without the quotes around it."""
    plain = len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) - 2
    anew = len(json.dumps(text)) - 2 + 5 * sum(map(text.count, _HTML)) + 4 * text.count('"')
    return max(plain, -(-anew * 5 // 7))


def fitted(text: str, room: int, *, markdown: bool = True) -> str:
    """As much of the text as costs no more than ``room``, escaped; ends in ``…`` where that is not all. Empty where none fits.

    It is cut before it is escaped, and never within a character that is written as several.
    """

    def shown(end: int, after: str = "") -> str:
        part = text[:end].rstrip() + after
        return escaped(part) if markdown else part

    if len(text) <= room and cost(whole := shown(len(text))) <= room:
        return whole
    low, high = 0, max(0, min(len(text), room))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if cost(shown(middle, MORE)) <= room else (low, middle - 1)
    while 0 < low < len(text) and (_joins(text[low]) or text[low - 1] == "\u200d"):
        low -= 1
    return shown(low, MORE) if low else ""


def _joins(character: str) -> bool:
    """Whether it changes the character before it: accents, joiners, variants, shades of skin."""
    return unicodedata.combining(character) > 0 or character in "\u200d\ufe0f\u20e3" or "\U0001f3fb" <= character <= "\U0001f3ff"
