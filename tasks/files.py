"""Expiring files, one effect at a time."""

from core.expiring import Expiry
from tasks.retrying import retried


@retried
async def count_over(expiry: Expiry) -> int:
    """How many files' time is over."""
    return await expiry.count()


@retried
async def expire_batch(expiry: Expiry) -> int:
    """Delete one batch of them; 0 when nothing is left."""
    return await expiry.batch()


@retried
async def drop_orphans(expiry: Expiry, dry_run: bool) -> int:
    """Delete what lies in the store without belonging to a file; how many."""
    return await expiry.orphans(dry_run)


@retried
async def tidy_store(expiry: Expiry) -> int:
    """Remove unfinished uploads of processes that died; how many."""
    return await expiry.tidy()
