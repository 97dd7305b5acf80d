"""How entries are sealed: batches whose hashes build on one another, each signed, so that no change stays unseen.

A batch's digest covers the digest of the batch before it, its own number and every entry in it. Whoever may write to the database
can make a new chain, but not sign it: the key is not in the database.
"""

import hashlib
import hmac
from collections.abc import Iterable

import orjson

from core.audit.entry import Kept

BEGINNING = bytes(32)
"""What stands in the first batch for the one before it."""


def digest_of(entry: Kept) -> bytes:
    """SHA-256 of an entry in canonical JSON, without the number of its batch."""
    said = [
        entry.seq,
        entry.at.isoformat(),
        entry.action,
        entry.outcome,
        entry.actor,
        entry.actor_name,
        entry.address,
        entry.object,
        entry.request_id,
        entry.details,
    ]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


def batch_digest(previous: bytes, number: int, entries: Iterable[Kept]) -> bytes:
    """SHA-256 over the batch before, this one's number, and its entries in their order."""
    whole = hashlib.sha256(previous + number.to_bytes(8, "big"))
    for entry in entries:
        whole.update(digest_of(entry))
    return whole.digest()


def signature(key: str, number: int, digest: bytes, *, checkpoint: bool = False) -> bytes:
    """HMAC-SHA-256 of a batch's digest, or of one as the checkpoint for all batches up to it, whose entries have expired."""
    kind = b"pilothouse audit checkpoint" if checkpoint else b"pilothouse audit"
    return hmac.digest(key.encode(), kind + number.to_bytes(8, "big") + digest, "sha256")


def is_signed(key: str, number: int, digest: bytes, given: bytes, *, checkpoint: bool = False) -> bool:
    """Whether a signature is right; the comparison takes the same time for every wrong one."""
    return hmac.compare_digest(signature(key, number, digest, checkpoint=checkpoint), given)
