"""Conditional requests and ranges (RFC 9110, sections 13 and 14): what a reader has already, and which part it asks for."""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

ONE_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*")


def is_known(headers: Mapping[str, str], etag: str, modified: datetime) -> bool:
    """Whether the reader has it as it is, so that 304 will do."""
    if (tags := headers.get("if-none-match")) is not None:
        listed = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
        return etag in listed or "*" in listed
    since = _moment(headers.get("if-modified-since"))
    return since is not None and modified.replace(microsecond=0) <= since


def asked_span(headers: Mapping[str, str], etag: str, modified: datetime, size: int) -> range | None:
    """The bytes that a GET asks for: an empty range for such as do not exist (416), None for the whole file.

    What is no single range of bytes, or was meant for another state of the file (``If-Range``), means the whole.
    """
    found = ONE_RANGE.fullmatch(headers.get("range", ""))
    if found is None or not (found[1] or found[2]):
        return None
    state = headers.get("if-range")
    if state is not None and state != etag and _moment(state) != modified.replace(microsecond=0):
        return None
    if not found[1]:
        return range(size - min(int(found[2]), size), size)
    start, end = int(found[1]), int(found[2]) + 1 if found[2] else size
    if found[2] and end <= start:
        return None
    return range(start, min(end, size))


def _moment(text: str | None) -> datetime | None:
    """An HTTP date; None for anything else."""
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
