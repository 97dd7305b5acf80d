"""Identifiers: UUID version 7 (RFC 9562), so that ids made later sort later and indexes stay compact."""

import secrets
import time
import uuid


def new_id() -> str:
    """A fresh UUIDv7 in its usual 36 characters."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
