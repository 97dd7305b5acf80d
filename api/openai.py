"""OpenAI's API for clients that speak it: models and chat completions, each call recorded as a turn."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response, Security
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.auth import require
from api.chat import SESSION_ID, STREAM, ChatMessage
from api.pacing import PacedCaller
from api.parts import Parts, TheParts
from api.sse import EventStream, framed, openai_framing, opened
from api.turns import answered, ask
from core.errors import Conflict, InputInvalid, NotFound
from core.following import follow_turn
from core.store.access import Principal
from core.workspaces import inner
from flows.asking import Question

router = APIRouter(prefix="/v1", tags=["openai"])
Caller = Annotated[Principal, Security(require("chat"))]
OURS = {"messages", "model", "stream", "stream_options", "n", "store"}
"""Parameters that Pilothouse answers itself; all others are passed on to the provider as they came."""


class StreamOptions(BaseModel):
    """What the stream shall hold besides."""

    include_usage: bool = False


class ChatCompletion(BaseModel):
    """A request for a chat completion; further parameters (``tools``, ``response_format`` …) are passed on."""

    model_config = ConfigDict(extra="allow")

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]
    model: Annotated[str, StringConstraints(max_length=200)] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = 1
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None


@router.get("/models", summary="List the models of all providers")
async def models(parts: TheParts, caller: Caller) -> dict[str, Any]:
    """In OpenAI's shape; ``owned_by`` is the provider."""
    return {"object": "list", "data": [_model(info.name, info.provider) for info in await parts.models.all()]}


@router.get("/models/{model:path}", summary="Read one model")
async def model(model: str, parts: TheParts, caller: Caller) -> dict[str, Any]:
    """404 for a model that no provider has."""
    _, info = (await parts.models.resolve(model))[0]
    return _model(info.name, info.provider)


@router.post("/chat/completions", response_model=None, responses=STREAM, summary="Complete a chat")
async def completions(
    body: ChatCompletion,
    request: Request,
    response: Response,
    parts: TheParts,
    caller: PacedCaller,
    session_id: Annotated[str | None, Header(alias="X-Session-Id")] = None,
) -> EventStream | dict[str, Any]:
    """As OpenAI answers. ``X-Session-Id`` keeps history on the server: the session is made when it is new."""
    if body.n not in (None, 1):
        raise InputInvalid("n: one choice per call is supported.", field="n")
    if session_id is not None:
        await _session(parts, session_id)
    question = Question(
        messages=[message.model_dump(exclude_unset=True) for message in body.messages],
        session_id=None if session_id is None else inner(session_id),
        model=body.model or None,
        options=body.model_dump(exclude_none=True, exclude=OURS),
        token_id=caller.token_id,
    )
    asked = await ask(parts, request, question)
    if body.stream:
        batches = await opened(follow_turn(parts.streams, parts.turns, asked.turn_id))
        framing = openai_framing(body.stream_options is not None and body.stream_options.include_usage)
        return EventStream(framed(batches, framing, parts.settings.chat.ping), {"X-Turn-Id": asked.turn_id})
    response.headers["X-Turn-Id"] = asked.turn_id
    record = await answered(parts, asked.turn_id)
    return {
        "id": f"chatcmpl-{record.id}",
        "object": "chat.completion",
        "created": int(record.created_at.timestamp()),
        "model": record.model,
        "choices": [{"index": 0, "message": record.message, "logprobs": None, "finish_reason": record.finish_reason or "stop"}],
        "usage": record.usage,
    }


async def _session(parts: Parts, session_id: str) -> None:
    if SESSION_ID.fullmatch(session_id) is None:
        raise InputInvalid("X-Session-Id takes letters, digits and . _ : @ -, at most 128.", field="X-Session-Id")
    try:
        await parts.sessions.get(inner(session_id))
    except NotFound:
        try:
            await parts.sessions.create(inner(session_id))
        except Conflict:
            # Made by a request at the same time, or expired: asking will tell.
            return


def _model(name: str, provider: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": provider}
