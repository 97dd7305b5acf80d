"""A provider's answer as chunks: server-sent events read raw, since an SDK model for each chunk costs more than all the rest."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson

from blocks.openai_errors import Redactor, from_event
from core.answers import carries_content
from core.errors import PilothouseError, ProviderFailed, ProviderUnavailable

Chunk = dict[str, Any]

EVENT_LIMIT = 16_000_000
"""Bytes of one event."""
TAIL = 5.0
"""Seconds that usage may come after the finish reason."""
DRAIN = 0.05
"""Seconds for the body's last bytes after ``[DONE]``; read to its end, the connection can be used again."""


class EventParser:
    """The ``data`` of server-sent events from pieces of bytes (the HTML standard's rules; other fields are of no use here)."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that this piece completes."""
        whole = self._rest + piece
        if b"\r" in whole:
            held = b"\r" if whole.endswith(b"\r") else b""  # its \n may be in the next piece
            whole = whole[: len(whole) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        *lines, self._rest = whole.split(b"\n")
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
        return events

    def flush(self) -> list[bytes]:
        """The last event of a body that ends without a blank line: against the standard, but servers do it."""
        return self.feed(b"\n\n")

    @property
    def held(self) -> int:
        """Bytes of an event that is not complete yet."""
        return len(self._rest) + sum(map(len, self._data))


class CompletionReader:
    """Reads one response.

    ``first_by`` is the loop's time by which a token must be there, ``stall`` the seconds between later ones.
    """

    def __init__(self, response: httpx.Response, who: str, redactor: Redactor, first_by: float, stall: float) -> None:
        self._response = response
        self._who = who
        self._redactor = redactor
        self._stall = stall
        self._deadline = first_by
        self._is_whole = _media_type(response) == "application/json"
        self._pieces: AsyncIterator[bytes] = response.aiter_bytes()
        self._events = EventParser()
        self._answering = False
        self._finished = False
        self._over = False
        self._failure: PilothouseError | None = None

    async def batch(self) -> list[Chunk]:
        """The next chunks, as many as came together; empty at the end of a whole answer.

        Raises ``ProviderUnavailable`` or ``ProviderFailed`` after the chunks that came before the failure were handed out.
        """
        if self._is_whole:
            return await self._whole()
        chunks: list[Chunk] = []
        if self._answering or self._finished:  # counted from here: the time that our caller took is not the model's
            wait = min(self._stall, TAIL) if self._finished else self._stall
            self._deadline = asyncio.get_running_loop().time() + wait
        while not chunks and not self._over and self._failure is None:
            await self._read_into(chunks)
        if self._failure is not None and not chunks and not self._finished:
            raise self._failure
        return chunks

    async def aclose(self) -> None:
        """End the call; one that is not over breaks off upstream."""
        if self._over and not self._response.is_closed:
            try:
                async with asyncio.timeout(DRAIN):
                    async for _ in self._pieces:
                        pass
            except (TimeoutError, httpx.HTTPError):
                pass  # the connection is then closed instead of kept
        await self._response.aclose()

    async def _read_into(self, chunks: list[Chunk]) -> None:
        try:
            async with asyncio.timeout_at(self._deadline):
                piece = await anext(self._pieces, b"")
        except TimeoutError:
            what = "stalled in the middle of its answer" if self._answering else "sent no token in time"
            self._failure = ProviderUnavailable(f"{self._who} {what}.")
            return
        except httpx.HTTPError:
            self._failure = ProviderUnavailable(f"{self._who} broke the connection off.")
            return
        for event in self._events.feed(piece) if piece else self._events.flush():
            if event == b"[DONE]":
                self._over = True
                return
            chunk = self._parsed(event)
            if chunk is None:
                return
            chunks.append(chunk)
            self._notice(chunk)
        if not piece:
            self._failure = ProviderUnavailable(f"{self._who} ended its answer early.")
        elif self._events.held > EVENT_LIMIT:
            self._failure = ProviderUnavailable(f"{self._who} sent an event without end.")

    def _parsed(self, event: bytes) -> Chunk | None:
        try:
            chunk = orjson.loads(event)
        except orjson.JSONDecodeError:
            chunk = None
        if not isinstance(chunk, dict) or not _well_formed(chunk):
            self._failure = ProviderUnavailable(f"{self._who} sent something that is no chat completion chunk.")
            return None
        if error := chunk.get("error"):
            self._failure = from_event(self._who, error, self._redactor)
            return None
        return chunk

    def _notice(self, chunk: Chunk) -> None:
        choices = chunk.get("choices")
        if choices and choices[0].get("finish_reason"):
            self._finished = True
        if not self._answering:
            self._answering = carries_content(chunk)

    async def _whole(self) -> list[Chunk]:
        """A server that ignored ``stream``: its one JSON answer as one chunk."""
        if self._over:
            return []
        try:
            async with asyncio.timeout_at(self._deadline):
                body = await self._response.aread()
            answer = orjson.loads(body)
        except TimeoutError:
            raise ProviderUnavailable(f"{self._who} sent no token in time.") from None
        except (httpx.HTTPError, orjson.JSONDecodeError):
            raise ProviderUnavailable(f"{self._who} sent something that is no chat completion.") from None
        self._over = True
        if isinstance(answer, dict) and answer.get("error"):
            raise from_event(self._who, answer["error"], self._redactor)
        chunk = chunk_of(answer)
        if chunk is None:
            raise ProviderFailed(f"{self._who} answered JSON that is no chat completion: check base_url.")
        return [chunk]


def check_type(response: httpx.Response, who: str) -> None:
    """Raises ``ProviderFailed`` for an answer that cannot be a completion, such as a proxy's sign-in page."""
    kind = _media_type(response)
    if kind in {"", "text/event-stream", "application/json", "text/plain", "application/octet-stream"}:
        return
    what = "a web page" if "html" in kind else kind
    raise ProviderFailed(f"{who} answered {what} instead of a completion: check base_url and any proxy in between.")


def _media_type(response: httpx.Response) -> str:
    declared: str = response.headers.get("content-type", "")
    return declared.partition(";")[0].strip().lower()


def chunk_of(completion: object) -> Chunk | None:
    """A ``chat.completion`` as one ``chat.completion.chunk``; None if it is none."""
    if not isinstance(completion, dict) or not isinstance(completion.get("choices"), list):
        return None
    choices = []
    for choice in completion["choices"]:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            return None
        calls = choice["message"].get("tool_calls") or []
        indexed = {"tool_calls": [{"index": at, **call} for at, call in enumerate(calls)]} if calls else {}
        delta = {key: value for key, value in choice["message"].items() if value is not None} | indexed
        choices.append({"index": choice.get("index", 0), "delta": delta, "finish_reason": choice.get("finish_reason") or "stop"})
    return {**completion, "object": "chat.completion.chunk", "choices": choices}


def _well_formed(chunk: Chunk) -> bool:
    choices = chunk.get("choices")
    if not choices:
        return choices is None or choices == []
    return isinstance(choices, list) and all(
        isinstance(choice, dict) and isinstance(choice.get("delta") or {}, dict) for choice in choices
    )
