"""Whether a question asks for a tool, decided by a model that has no tool calls: one answer that a JSON schema constrains."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from core.answers import Answer
from core.conversation import ChatModel, Message, ModelInfo, ModelRequest
from core.history import estimate, tokens_of
from core.tools.drafting import Draft
from core.tools.offering import Offer, function_name
from core.tools.tool import Tool

NONE = "none"
TEXTS = 5
"""Messages of the user, the newest first, that a tool may find its inputs in."""
DESCRIBED = 200
"""Characters of a tool's description."""
INSTRUCTION = (
    "Decide what the user's message asks for. Answer in JSON: the tool to use and its inputs, or the tool "
    f'"{NONE}" where words are enough.'
)


@dataclass(frozen=True)
class Question:
    """A question to the model, and the tools with their drafts that it is about."""

    request: ModelRequest
    drafts: Mapping[str, Draft]


def question(offer: Offer, messages: Sequence[Message], info: ModelInfo) -> Question | None:
    """What to ask the model, if anything: None where no tool could be meant or the model has no room for it."""
    texts = _texts(messages)
    if not texts or len(texts[0]) > info.context * 4 or not offer.cued(texts[0]):
        return None
    drafts = {function_name(tool.id): draft for tool in offer.tools if (draft := _draft(tool, texts)) is not None}
    drafts = {name: draft for name, draft in drafts.items() if draft.sure} or drafts
    if not drafts:
        return None
    tools = [tool for tool in offer.tools if function_name(tool.id) in drafts]
    listing = "\n".join(f"- {function_name(tool.id)}: {tool.description.en[:DESCRIBED]}" for tool in tools)
    asked: list[Message] = [{"role": "system", "content": f"{INSTRUCTION}\n{listing}"}]
    for name, draft in drafts.items():
        for text, inputs in draft.examples:
            said = {"tool": NONE} if inputs is None else {"tool": name, "inputs": inputs}
            asked += [{"role": "user", "content": text}, {"role": "assistant", "content": orjson.dumps(said).decode()}]
    asked.append({"role": "user", "content": texts[0]})
    schema = _schema(drafts)
    room = info.context - sum(map(tokens_of, asked)) - estimate(orjson.dumps(schema).decode()) // 4
    reserve = min(1024, info.context // 4)
    if room < reserve:
        return None
    constrained = {"type": "json_schema", "json_schema": {"name": "decision", "schema": schema}}
    options = {"response_format": constrained, "temperature": 0, "max_tokens": reserve}
    return Question(ModelRequest(info.name, asked, options), drafts)


@dataclass(frozen=True)
class Decision:
    """The function that the model chose; ``inputs`` None where it chose none, or nothing that makes sense."""

    name: str
    inputs: Mapping[str, Any] | None
    usage: Mapping[str, Any] | None


async def decided(model: ChatModel, asked: Question) -> Decision:
    """What the model decided. Raises what ``ChatModel.stream`` raises."""
    answer = Answer()
    async with aclosing(model.stream(asked.request)) as chunks:
        async for chunk in chunks:
            answer.feed(chunk)
    name, inputs = _read(answer.text)
    draft = asked.drafts.get(name)
    return Decision(name, None if draft is None else draft.inputs(inputs), answer.usage)


def _texts(messages: Sequence[Message]) -> list[str]:
    """What the user said, the newest first; pictures and files are passed over."""
    found = []
    for message in reversed(messages):
        content = message.get("content")
        if message["role"] == "user" and content:
            parts = [content] if isinstance(content, str) else [part["text"] for part in content if part.get("text")]
            found.append("\n".join(parts))
        if len(found) == TEXTS:
            break
    return found


def _draft(tool: Tool, texts: Sequence[str]) -> Draft | None:
    if tool.drafting is not None:
        return tool.drafting(texts)
    return Draft(tool.schema(), lambda inputs: inputs)


def _schema(drafts: Mapping[str, Draft]) -> dict[str, Any]:
    choices = [_object({"tool": {"const": name}, "inputs": draft.schema}) for name, draft in drafts.items()]
    if any(draft.sure for draft in drafts.values()):
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    return {"anyOf": [*choices, _object({"tool": {"const": NONE}})]}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _read(text: str) -> tuple[str, Mapping[str, Any]]:
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        return NONE, {}
    if not isinstance(said, dict) or not isinstance(said.get("inputs"), dict):
        return NONE, {}
    return str(said.get("tool")), said["inputs"]
