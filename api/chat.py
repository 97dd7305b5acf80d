"""Sessions, turns and their streams, history: the chat service's own paths."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response, Security
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.auth import require
from api.bodies import StrictBody
from api.pacing import PacedCaller
from api.parts import Parts, TheParts
from api.sse import EventStream, chat_framing, framed, opened
from api.turns import answered, ask, checked
from core.errors import Forbidden, NotFound
from core.following import follow_turn
from core.ids import new_id
from core.store.access import Principal
from core.store.sessions import MessageRecord, SessionRecord
from core.workspaces import inner, outer
from flows.asking import Question

router = APIRouter(tags=["chat"])
Caller = Annotated[Principal, Security(require("chat"))]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
SESSION_ID = re.compile(r"[A-Za-z0-9._:@-]{1,128}")
CURSOR = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,5}))?")
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}, "application/json": {}}}}


class NewSession(BaseModel):
    """A session to be made; everything may be left out."""

    session_id: Annotated[str, StringConstraints(pattern=rf"^{SESSION_ID.pattern}$")] | None = Field(None, alias="sessionId")
    title: Annotated[str, StringConstraints(max_length=200)] | None = None
    system: Annotated[str, StringConstraints(max_length=100_000)] | None = None
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class ChatMessage(BaseModel):
    """An OpenAI chat message; further keys (``tool_calls``, ``tool_call_id``, ``name``) are passed on."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


class ModelConfig(StrictBody):
    """How the model shall answer."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None


class NewTurn(BaseModel):
    """One question."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]
    model_settings: ModelConfig = Field(default_factory=ModelConfig, alias="modelConfig")
    stream: bool = True
    detail: bool = False
    tools: Annotated[list[Annotated[str, StringConstraints(max_length=100)]], Field(max_length=50)] | None = None
    """Ids of the tools that the model may use; absent: those of ``chat.tools``."""


@router.post("/chat/sessions", status_code=201, summary="Create a session")
async def create_session(body: NewSession, parts: TheParts, caller: Caller) -> dict[str, Any]:
    """201 with the session; a taken ``sessionId`` is 409."""
    checked(body.model_dump())
    if body.model is not None:
        await parts.models.resolve(body.model)
    made = await parts.sessions.create(inner(body.session_id or new_id()), title=body.title, system=body.system, model=body.model)
    return shown_session(made)


@router.get("/chat/sessions", summary="List sessions, newest first")
async def list_sessions(
    parts: TheParts, caller: Caller, limit: Annotated[int, Query(ge=1, le=200)] = 50, before: str | None = None
) -> dict[str, Any]:
    """``{sessions, next}``; ``next`` is the ``before`` of the following page, null on the last."""
    cursor = _cursor(before)
    found = await parts.sessions.page(limit + 1, cursor[0] if cursor else None)
    page = found[:limit]
    return {"sessions": [shown_session(one) for one in page], "next": str(page[-1].seq) if len(found) > limit else None}


@router.delete("/chat/sessions/{session_id}", status_code=204, summary="Delete a session with its messages and files")
async def delete_session(session_id: str, parts: TheParts, caller: Caller) -> Response:
    """Turns being answered are stopped first."""
    for turn_id in await parts.turns.active(_session(session_id)):
        await _cancel(parts, turn_id)
    await parts.sessions.delete(_session(session_id))
    await parts.files.drop_session(_session(session_id))
    return Response(status_code=204)


@router.post("/chat/{session_id}", response_model=None, responses=STREAM, summary="Ask, and follow the answer")
async def post_turn(
    session_id: str,
    body: NewTurn,
    request: Request,
    response: Response,
    parts: TheParts,
    caller: PacedCaller,
    idempotency_key: IdempotencyKey = None,
    detail: bool = False,
) -> EventStream | dict[str, Any]:
    """A stream of ``chat.completion.chunk`` events, or JSON with ``"stream": false``; the answer is kept either way."""
    question = Question(
        messages=[message.model_dump(exclude_unset=True) for message in body.messages],
        session_id=_session(session_id),
        model=body.model_settings.model,
        options=body.model_settings.model_dump(exclude_none=True, exclude={"model"}),
        idempotency_key=idempotency_key,
        tools=_tools(parts, caller, body.tools),
        token_id=caller.token_id,
    )
    asked = await ask(parts, request, question)
    if not body.stream:
        response.headers["X-Turn-Id"] = asked.turn_id
        record = await answered(parts, asked.turn_id)
        return {
            "turnId": record.id,
            "message": record.message,
            "usage": record.usage,
            "finishReason": record.finish_reason,
        }
    headers = {"X-Turn-Id": asked.turn_id}
    batches = await opened(follow_turn(parts.streams, parts.turns, asked.turn_id))
    if asked.running is not None and asked.running.flow_run_id is not None:
        headers["X-Flow-Run-Id"] = asked.running.flow_run_id
    return EventStream(framed(batches, chat_framing(detail or body.detail), parts.settings.chat.ping), headers)


@router.get("/chat/{session_id}/turns/{turn_id}", summary="Read a turn")
async def read_turn(session_id: str, turn_id: str, parts: TheParts, caller: Caller) -> dict[str, Any]:
    """Its status, runs, timings and usage."""
    turn = await parts.turns.get(_known(turn_id), _session(session_id))
    return {
        "turnId": turn.id,
        "sessionId": session_id,
        "status": turn.status,
        "model": turn.model,
        "provider": turn.provider,
        "message": turn.message,
        "usage": turn.usage,
        "finishReason": turn.finish_reason,
        "error": turn.error,
        "createdAt": turn.created_at,
        "finishedAt": turn.finished_at,
        "firstTokenMs": turn.first_token_ms,
        "durationMs": turn.duration_ms,
        "flowRunId": turn.flow_run_id,
        "taskRunId": turn.task_run_id,
        "tracked": turn.tracked,
    }


@router.get("/chat/{session_id}/turns/{turn_id}/events", response_model=None, responses=STREAM, summary="Follow a turn")
async def follow(
    session_id: str,
    turn_id: str,
    parts: TheParts,
    caller: Caller,
    last_event_id: Annotated[int, Header(alias="Last-Event-ID", ge=0, le=2**31)] = 0,
    detail: bool = False,
) -> EventStream:
    """The turn's stream from behind ``Last-Event-ID``: first what was missed, then the live rest."""
    await parts.turns.get(_known(turn_id), _session(session_id))
    batches = follow_turn(parts.streams, parts.turns, turn_id, last_event_id)
    return EventStream(framed(batches, chat_framing(detail), parts.settings.chat.ping), {"X-Turn-Id": turn_id})


@router.post("/chat/{session_id}/turns/{turn_id}/cancel", status_code=202, summary="Stop a turn")
async def cancel(session_id: str, turn_id: str, parts: TheParts, caller: Caller) -> dict[str, Any]:
    """Stops the model call; what came so far is kept. A turn that has ended stays as it is."""
    await parts.turns.get(_known(turn_id), _session(session_id))
    await _cancel(parts, turn_id)
    turn = await parts.turns.get(turn_id, _session(session_id))
    return {"turnId": turn_id, "status": turn.status}


@router.get("/history/{session_id}", summary="Read a session's messages")
async def history(
    session_id: str,
    parts: TheParts,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: str | None = None,
) -> dict[str, Any]:
    """The last ``limit`` messages before ``before``, oldest first; ``next`` is the ``before`` that leads further back."""
    await parts.sessions.get(_session(session_id))
    cursor = _cursor(before)
    found = await parts.sessions.messages(_session(session_id), limit + 1, (cursor[0], cursor[1]) if cursor else None)
    page = found[-limit:]
    more = f"{page[0].turn_seq}.{page[0].position}" if len(found) > limit else None
    return {"sessionId": session_id, "messages": [_shown_message(one) for one in page], "next": more}


def _tools(parts: Parts, caller: Principal, asked: list[str] | None) -> Sequence[str]:
    """Raises ``Forbidden`` for more than what is offered to everybody, without the scope to call tools."""
    usual = parts.toolbox.usual
    if asked is None:
        return usual
    if not (set(asked) <= set(usual) or caller.allows("tools")):
        raise Forbidden("This token lacks the scope tools, and so its turns may use no tools beyond those of chat.tools.")
    return asked


async def _cancel(parts: Parts, turn_id: str) -> None:
    running = parts.conversations.turns.get(turn_id)
    if running is not None:
        await running.stop("cancelled")
    else:
        await parts.turns.request_cancel(turn_id)


def shown_session(session: SessionRecord) -> dict[str, Any]:
    """A session as the API tells it."""
    return {
        "sessionId": outer(session.id),
        "title": session.title,
        "system": session.system,
        "model": session.model,
        "createdAt": session.created_at,
        "lastTurnAt": session.last_turn_at,
        "expiresAt": session.expires_at,
    }


def _shown_message(message: MessageRecord) -> dict[str, Any]:
    return {
        "id": f"{message.turn_id}.{message.position}",
        "turnId": message.turn_id,
        "role": message.role,
        **message.body,
        "status": message.status,
        "timestamp": message.created_at,
    }


def _known(identifier: str) -> str:
    """The id, if it can be one of ours. Raises ``NotFound`` before any query otherwise."""
    if SESSION_ID.fullmatch(identifier) is None:
        raise NotFound("There is nothing of this id.")
    return identifier


def _session(session_id: str) -> str:
    """The session's id within its workspace. Raises ``NotFound`` as above."""
    return inner(_known(session_id))


def _cursor(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = CURSOR.fullmatch(text)
    if found is None:
        raise NotFound("There is no such page: take `before` from the `next` of an earlier answer.", field="before")
    return int(found[1]), int(found[2] or 0)
