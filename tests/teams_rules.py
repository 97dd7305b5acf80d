"""What Teams takes of a card, checked strictly: written from its documents and its users' reports, not from what we send."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

LIMIT = 28_672
"""Bytes of a card once the service has written it anew."""
CONNECTOR_LIMIT = 21_000
CARD = "application/vnd.microsoft.card.adaptive"
SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"
COLOURS = {"default", "dark", "light", "accent", "good", "warning", "attention"}
LOOKS: Mapping[str, set[str]] = {
    "size": {"default", "small", "medium", "large", "extralarge"},
    "weight": {"default", "lighter", "bolder"},
    "color": COLOURS,
    "spacing": {"default", "none", "small", "medium", "large", "extralarge", "padding"},
    "style": {"default", "emphasis", "good", "attention", "warning", "accent"},
}
KEYS: Mapping[str, set[str]] = {
    "TextBlock": {"type", "text", "wrap", "size", "weight", "color", "isSubtle", "spacing", "separator", "id"},
    "FactSet": {"type", "facts", "spacing", "separator", "id"},
    "Container": {"type", "items", "style", "bleed", "spacing", "separator", "id"},
}
MARKDOWN = {
    *("paragraph_open", "paragraph_close", "inline", "text", "text_special", "softbreak", "hardbreak"),
    *("strong_open", "strong_close", "em_open", "em_close", "link_open", "link_close"),
    *("bullet_list_open", "bullet_list_close", "ordered_list_open", "ordered_list_close", "list_item_open", "list_item_close"),
}
AT = re.compile(r"<at>(.*?)</at>")
_MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def mistakes(body: object, *, wrapped: bool = True) -> list[str]:
    """What is wrong with what was posted to a Workflow; empty: the card is shown."""
    if size(body) > LIMIT:
        return [f"MessageSizeExceeded: {size(body)} bytes, max {LIMIT}"]
    if not wrapped:
        return list(_card(body))
    if not isinstance(body, dict) or body.keys() - {"summary"} != {"type", "attachments"} or body["type"] != "message":
        return ["'foreach' expression: attachments is of type 'Null'"]
    found = []
    for each in body["attachments"]:
        if (
            each.keys() != {"contentType", "contentUrl", "content"}
            or each["contentType"] != CARD
            or each["contentUrl"] is not None
        ):
            found.append("an attachment is not an adaptive card with contentUrl null")
        else:
            found.extend(_card(each["content"]))
    return found if body["attachments"] else ["no attachments"]


def size(body: object) -> int:
    """Bytes once written anew by an encoder that escapes all but plain ASCII, and what HTML would take for its own."""
    text = json.dumps(body)
    return len(text) + sum(5 * text.count(each) for each in "<>&'+`") + 4 * text.count('\\"')


def texts_of(card: Mapping[str, Any]) -> list[str]:
    """Every text of a card (bare or wrapped) or of a connector's, as it is read on a screen, a paragraph or list entry each."""
    content = card["attachments"][0]["content"] if "attachments" in card else card
    return [shown for text in _texts(content) for shown in read(text)]


def read(text: str) -> list[str]:
    """A text of Markdown as people read it, paragraph by paragraph."""
    return [
        "".join(child.content if child.type in {"text", "text_special"} else " " for child in token.children or ())
        for token in _MARKDOWN.parse(text)
        if token.type == "inline"
    ]


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key in ("title", "text", "name", "value"):
            if isinstance(node.get(key), str):
                yield node[key]
        for key in ("body", "items", "facts", "sections"):
            yield from _texts(node.get(key))
    elif isinstance(node, list):
        for each in node:
            yield from _texts(each)


def _card(card: object) -> Iterator[str]:
    if not isinstance(card, dict) or card.get("type") != "AdaptiveCard":
        yield "Property 'type' must be 'AdaptiveCard'"
        return
    if extra := card.keys() - {"type", "$schema", "version", "msteams", "body", "actions"}:
        yield f"unknown keys of the card: {sorted(extra)}"
    if card.get("$schema") != SCHEMA:
        yield "no schema"
    if tuple(map(int, str(card.get("version", "9.9")).split("."))) > (1, 4):
        yield "a version that is not shown"
    if not card.get("body"):
        yield "an empty body"
    blocks = list(_elements(card.get("body", [])))
    yield from (one for block in blocks for one in _element(block))
    yield from _mentions(card.get("msteams", {}), [block["text"] for block in blocks if block.get("type") == "TextBlock"])
    actions = card.get("actions", [])
    if len(actions) > 6:
        yield "more than six actions"
    for action in actions:
        if action.keys() != {"type", "title", "url"} or action["type"] != "Action.OpenUrl" or not action["title"]:
            yield "an action that is no link"
        elif urlsplit(action["url"]).scheme not in {"http", "https"} or not urlsplit(action["url"]).hostname:
            yield "an action that leads nowhere"


def _elements(elements: list[Any]) -> Iterator[dict[str, Any]]:
    for element in elements:
        yield element
        yield from _elements(element.get("items", []))


def _element(element: dict[str, Any]) -> Iterator[str]:
    kind = str(element.get("type"))
    if kind not in KEYS:
        yield f"an element of type {kind}"
        return
    if extra := element.keys() - KEYS[kind]:
        yield f"{kind} has {sorted(extra)}"
    for key, allowed in LOOKS.items():
        if key in element and str(element[key]).lower() not in allowed:
            yield f"{kind}: {key} is {element[key]}"
    if kind == "TextBlock":
        yield from _text(element.get("text"))
        if element.get("wrap") is not True:
            yield "a text that does not wrap"
    if kind == "Container" and not element.get("items"):
        yield "an empty container"
    if kind == "FactSet":
        if not element.get("facts"):
            yield "no facts"
        for fact in element.get("facts", []):
            if fact.keys() != {"title", "value"}:
                yield "a fact that is none"
            else:
                yield from _text(fact["title"])
                yield from _text(fact["value"])


def _text(text: object) -> Iterator[str]:
    """What Teams does not show in a text: HTML, headings, pictures, code, tables, rules."""
    if not isinstance(text, str) or not text.strip():
        yield "an empty text"
        return
    tokens: list[Token] = _MARKDOWN.parse(AT.sub("", text))
    every = [*tokens, *(child for token in tokens for child in token.children or ())]
    yield from (f"Markdown of type {token.type}" for token in every if token.type not in MARKDOWN)


def _mentions(teams: Mapping[str, Any], texts: list[str]) -> Iterator[str]:
    if teams.keys() - {"width", "entities"} or teams.get("width") != "Full":
        yield "msteams is not as documented"
    said = [name for text in texts for name in AT.findall(text)]
    for entity in teams.get("entities", []):
        who = entity.get("mentioned", {})
        if entity.keys() != {"type", "text", "mentioned"} or entity["type"] != "mention" or who.keys() != {"id", "name"}:
            yield "a mention of another form"
        elif entity["text"] != f"<at>{who['name']}</at>" or who["name"] not in said or not who["id"]:
            yield "a mention that no text holds"
    if len(said) != len(teams.get("entities", [])):
        yield "an <at> that mentions nobody"


def mistakes_of_connector(body: object) -> list[str]:
    """What is wrong with a message card; empty: it is shown."""
    if len(json.dumps(body, ensure_ascii=False).encode()) > CONNECTOR_LIMIT:
        return ["413"]
    return list(_message_card(body))


def _message_card(body: object) -> Iterator[str]:
    if not isinstance(body, dict) or body.get("@type") != "MessageCard" or "@context" not in body:
        yield "Bad payload received by generic incoming webhook."
        return
    if not (body.get("summary") or body.get("text")):
        yield "Summary or Text is required."
    if extra := body.keys() - {"@type", "@context", "themeColor", "summary", "title", "text", "sections", "potentialAction"}:
        yield f"unknown keys {sorted(extra)}"
    if not re.fullmatch(r"[0-9A-F]{6}", body.get("themeColor", "")):
        yield "a colour that is none"
    for text in filter(None, (body.get("title"), body.get("text"))):
        yield from _text(text)
    for section in body.get("sections", []):
        for fact in section["facts"]:
            yield from _text(fact["name"])
            yield from _text(fact["value"])
    actions = body.get("potentialAction", [])
    if len(actions) > 4:
        yield "more than four actions"
    for action in actions:
        if action.keys() != {"@type", "name", "targets"} or action["@type"] != "OpenUri" or not action["name"]:
            yield "an action that is no link"
