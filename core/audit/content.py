"""What the audit log keeps of what people wrote and got: by policy all of it, its hash, or nothing."""

import hashlib
from json import dumps
from typing import Any, Literal

import orjson

Policy = Literal["hash", "full", "none"]
LONGEST = 20_000
"""Bytes of JSON that are kept of one content; of longer ones the hash alone."""


def shown(name: str, value: object, policy: Policy) -> dict[str, Any]:
    """``{name: value}``, or ``{nameSha256: …, nameBytes: …}`` of its canonical JSON, or nothing."""
    if policy == "none":
        return {}
    try:
        text, whole = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str), policy == "full"
    except TypeError:  # half a character, which no text in the database can hold
        text, whole = dumps(value, sort_keys=True, default=str).encode(), False
    if whole and len(text) <= LONGEST:
        return {name: value}
    return {f"{name}Sha256": hashlib.sha256(text).hexdigest(), f"{name}Bytes": len(text)}
