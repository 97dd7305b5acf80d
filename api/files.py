"""Files that Pilothouse made, and the pictures of its tools: open to whoever has the link."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from api.conditions import asked_span, is_known
from api.parts import TheParts
from core.errors import NotFound
from core.files import CACHED, disposition
from core.store.files import FileRecord

router = APIRouter(tags=["files"])
PICTURES = {file.name: file.read_bytes() for file in sorted((Path(__file__).parent / "images" / "tools").glob("*.svg"))}
LOCKED = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""What may run in a picture that is opened as a page: nothing."""
ANYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
CONTENT: dict[int | str, dict[str, Any]] = {200: {"content": {"*/*": {}}}, 206: {"content": {"*/*": {}}}}

SVG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/svg+xml": {}}}}


@router.get("/files/{key}", response_class=Response, responses=CONTENT, summary="Read a file that Pilothouse made")
@router.head("/files/{key}", include_in_schema=False)
async def read_file(key: str, request: Request, parts: TheParts) -> Response:
    """Needs no token: nobody guesses a key. Honours `Range`, `If-Range`, `If-None-Match` and `If-Modified-Since`."""
    record = await parts.files.find(key)
    headers = _headers(record)
    if is_known(request.headers, headers["ETag"], record.created_at):
        return Response(status_code=304, headers=headers)
    asked = asked_span(request.headers, headers["ETag"], record.created_at, record.size) if request.method == "GET" else None
    if asked is not None and not asked:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{record.size}"})
    span = range(record.size) if asked is None else asked
    headers["Content-Length"] = str(len(span))
    if asked is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{record.size}"
    if request.method == "HEAD":
        return Response(headers=headers, media_type=record.media_type)
    chunks = parts.files.read(key, span.start, span.stop)
    # Before the status is sent, so that a store that is away or has lost it is still a status.
    first = await anext(chunks, b"")
    return StreamingResponse(_sent(first, chunks), 200 if asked is None else 206, headers, record.media_type)


@router.get("/imgs/tools/{name}", response_class=Response, responses=SVG, summary="A tool's picture")
@router.head("/imgs/tools/{name}", include_in_schema=False)
async def picture(name: str) -> Response:
    """Needs no token."""
    if name not in PICTURES:
        raise NotFound(f"There is no such picture; there are: {', '.join(PICTURES)}.")
    headers = ANYWHERE | {"Cache-Control": "public, max-age=86400", "Content-Security-Policy": LOCKED}
    return Response(PICTURES[name], headers=headers, media_type="image/svg+xml")


def _headers(record: FileRecord) -> dict[str, str]:
    """What lies under a key never changes, so the key's beginning tells one file from another."""
    return ANYWHERE | {
        "ETag": f'"{record.key[:32]}"',
        "Last-Modified": format_datetime(record.created_at.astimezone(UTC), usegmt=True),
        "Accept-Ranges": "bytes",
        "Cache-Control": CACHED,
        "Content-Disposition": disposition(record.name, record.media_type),
        "Content-Security-Policy": LOCKED,
    }


async def _sent(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for chunk in rest:
            yield chunk
