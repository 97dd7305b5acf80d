"""Messages as Teams' cards: an adaptive card 1.4 for Workflows, a message card for the old connectors. Nothing here sends.

Written from the documents of both formats. No more is used than every Teams shows: 1.4 since newer cards come out empty, colours
by name, links as the only action. Whatever a message holds, the card keeps below the sizes at which Teams drops it, and says how
many lines it left out.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from blocks.teams_text import cost, fitted, line, paragraphs
from core.alerts.alert import Link
from core.alerts.message import Message

T = TypeVar("T")
BUDGET = 20_000
"""See ``blocks.teams_text``; the frame and the note on what was left out are within it."""
FRAME = 1_500
TITLE, MENTIONS, LINKS, FACTS = 1_200, 2_500, 4_500, 4_500
"""What each part may cost at most; lines and entries share the rest."""
LINE, ENTRY, NAME, VALUE, URL, LABEL = 3_000, 300, 120, 1_200, 1_500, 120
"""The same for one of them. Fifty entries always fit beside a short text."""
BUTTONS, BUTTONS_OF_CONNECTOR, PEOPLE = 6, 4, 20
AROUND_LINE = 90
"""What the card's own JSON around a line comes to, rounded up; as for the others in their prices."""
LEAST = 40
"""What a line that is cut may cost at least: less says nothing."""
LONGEST = 20_000
"""Characters of a text that are looked at: more would cost more than the whole card."""

SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"
CARD = "application/vnd.microsoft.card.adaptive"
COLOURS = {"critical": "Attention", "warning": "Warning", "info": "Accent", "resolved": "Good"}
THEME = {"Attention": "E81123", "Warning": "F7A30B", "Accent": "0078D4", "Good": "107C10"}
UNTITLED = {"en": "Message from Pilothouse", "zh": "来自 Pilothouse 的消息"}
LEFT_OUT = {
    "en": ("1 more line did not fit here.", "{} more lines did not fit here."),
    "zh": ("另有 1 行未能显示。", "另有 {} 行未能显示。"),
}
NOTHING = "–"
OPEN = {"en": "Open", "zh": "打开"}
_PERSON = re.compile(r"\s*(.*?)\s*<\s*([^<>\s]+)\s*>\s*")
_NOT_IN_NAMES = re.compile(r"[\\`*_\[\]<>#~&\"{}]")


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a message is on its card: texts escaped for Markdown, but for labels of buttons and names of people."""

    title: str
    lines: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    entries: tuple[str, ...]
    links: tuple[Link, ...]
    people: tuple[tuple[str, str], ...]
    """Name and address."""
    left_out: str
    """Says how many lines are not on it; empty: none."""


def adaptive(message: Message, *, wrap: bool = True) -> dict[str, Any]:
    """The adaptive card, as the only attachment of a message (what Teams' own templates take) or bare."""
    shown, colour = shown_of(message), colour_of(message)
    head = [_text(shown.title, size="Medium", weight="Bolder", color=colour)]
    teams: dict[str, Any] = {"width": "Full"}
    if shown.people:
        head.append(_text(" ".join(f"<at>{name}</at>" for name, _ in shown.people)))
        teams["entities"] = [
            {"type": "mention", "text": f"<at>{name}</at>", "mentioned": {"id": address, "name": name}}
            for name, address in shown.people
        ]
    body = [{"type": "Container", "style": colour.lower(), "bleed": True, "items": head}, *map(_text, shown.lines)]
    if shown.facts:
        body.append({"type": "FactSet", "facts": [{"title": name, "value": value} for name, value in shown.facts]})
    if shown.entries:
        body.append(_text("\n".join(f"- {entry}" for entry in shown.entries)))
    if shown.left_out:
        body.append(_text(shown.left_out, isSubtle=True))
    card: dict[str, Any] = {"$schema": SCHEMA, "type": "AdaptiveCard", "version": "1.4", "msteams": teams, "body": body}
    if shown.links:
        card["actions"] = [{"type": "Action.OpenUrl", "title": link.title, "url": link.url} for link in shown.links]
    return {"type": "message", "attachments": [{"contentType": CARD, "contentUrl": None, "content": card}]} if wrap else card


def connector(message: Message) -> dict[str, Any]:
    """The message card; nobody can be mentioned on one."""
    shown = shown_of(message)
    texts = list(shown.lines)
    if shown.entries:
        texts.append("\n".join(f"- {entry}" for entry in shown.entries))
    card: dict[str, Any] = {
        "@type": "MessageCard",
        "@context": "http://schema.org/extensions",
        "themeColor": THEME[colour_of(message)],
        "summary": fitted(line(message.title), 250, markdown=False) or UNTITLED[message.language],
        "title": shown.title,
        "text": "\n\n".join([*texts, *filter(None, [shown.left_out])]),
    }
    if shown.facts:
        card["sections"] = [{"facts": [{"name": name, "value": value} for name, value in shown.facts], "markdown": True}]
    if shown.links:
        card["potentialAction"] = [
            {"@type": "OpenUri", "name": link.title, "targets": [{"os": "default", "uri": link.url}]}
            for link in shown.links[:BUTTONS_OF_CONNECTOR]
        ]
    return card


def colour_of(message: Message) -> str:
    """By severity, and good where something is over."""
    return COLOURS["resolved" if message.kind == "resolved" else message.severity]


def shown_of(message: Message) -> Shown:
    """What fits, in the order of what matters: the title, who is called, buttons, facts, lines, entries."""
    title = fitted(line(message.title[:LONGEST]), TITLE) or UNTITLED[message.language]
    room = BUDGET - FRAME - cost(title)
    people, spent = _filled(_people(message), _price_of_person, min(MENTIONS, room))
    room -= spent
    links, spent = _filled(_links(message), lambda link: cost(link.title) + cost(link.url) + 100, min(LINKS, room))
    room -= spent
    facts, spent = _filled(map(_fact, message.facts), lambda fact: cost(fact[0]) + cost(fact[1]) + 32, min(FACTS, room))
    room -= spent
    # Entries may take half of the rest, and what the lines leave of the other half.
    _, spent = _filled(_entries(message), _price_of_entry, room // 2)
    lines, spent = _lines(message, room - spent)
    entries, _ = _filled(_entries(message), _price_of_entry, room - spent)
    left_out = len(message.facts) - len(facts) + _count(message.lines) - len(lines) + _count(message.entries) - len(entries)
    note = LEFT_OUT[message.language][left_out != 1].format(left_out) if left_out else ""
    return Shown(title, lines, facts, entries, links[:BUTTONS], people[:PEOPLE], note)


def _filled(items: Iterable[T], price: Callable[[T], int], room: int) -> tuple[tuple[T, ...], int]:
    """The first of them that fit together, and what they cost. No more are made than that."""
    taken, spent = [], 0
    for item in items:
        if spent + price(item) > room:
            break
        taken.append(item)
        spent += price(item)
    return tuple(taken), spent


def _lines(message: Message, room: int) -> tuple[tuple[str, ...], int]:
    """Those that fit, the last of them perhaps in part."""
    taken, spent = [], 0
    for text in (paragraphs(each[:LONGEST]) or NOTHING for each in message.lines if _says(each)):
        most = min(LINE, room - spent - AROUND_LINE)
        if most < LEAST:
            break
        part = fitted(text, most)
        taken.append(part)
        spent += cost(part) + AROUND_LINE
    return tuple(taken), spent


def _entries(message: Message) -> Iterator[str]:
    return (fitted(line(text[: 4 * ENTRY]), ENTRY) or NOTHING for text in message.entries if _says(text))


def _price_of_entry(entry: str) -> int:
    return cost(entry) + 6


def _count(texts: Iterable[str]) -> int:
    return sum(map(_says, texts))


def _says(text: str) -> bool:
    """Whether anything of it can be seen."""
    return any(character.isprintable() and character != " " for character in text)


def _fact(fact: tuple[str, str]) -> tuple[str, str]:
    name, value = (fitted(line(each[:LONGEST]), most) or NOTHING for each, most in zip(fact, (NAME, VALUE), strict=True))
    return name, value


def _links(message: Message) -> Iterator[Link]:
    """Those that lead to a page, by an address that needs no cutting."""
    for link in message.links:
        if cost(link.url) <= URL and _leads(link.url):
            yield Link(fitted(line(link.title[:LONGEST]), LABEL, markdown=False) or OPEN[message.language], link.url)


def _leads(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isprintable() and " " not in url
    except ValueError:
        return False


def _people(message: Message) -> Iterator[tuple[str, str]]:
    """Whom a card that calls for help is to reach. Names hold no marks: a mention is one only where nothing in it is escaped."""
    if message.kind != "firing" or message.severity != "critical":
        return
    seen = set[str]()
    for each in message.mentions:
        found = _PERSON.fullmatch(each)
        address = line(found[2] if found else each)
        name = line(_NOT_IN_NAMES.sub("", found[1] if found else each)) or _NOT_IN_NAMES.sub("", address)
        if name and address and " " not in address and address not in seen:
            seen.add(address)
            yield name, address


def _price_of_person(person: tuple[str, str]) -> int:
    return 3 * cost(person[0]) + cost(person[1]) + 140


def _text(text: str, **looks: str | bool) -> dict[str, Any]:
    return {"type": "TextBlock", "text": text, "wrap": True, **looks}
