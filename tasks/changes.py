"""A guarded change of a platform, one effect at a time. Nothing of it is tried again by itself: what failed is undone."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.changed_files import SavedFiles
from blocks.compose_check import check
from blocks.hooks import Command, run_command
from core.backups.errors import HookFailed
from core.changes import Note, NotHealthy
from core.sweeps.observation import Observation, Probe
from tasks.retrying import NOWHERE

DAY = 86_400
EVERY = 2.0
"""Seconds between two looks at what must be well."""
STEADY = 2
"""Looks in a row at which all must be well: right after a restart the old one may still answer."""
WELL = ("up", "degraded")

once = task(cache_policy=NO_CACHE, persist_result=False, result_storage=NOWHERE, timeout_seconds=DAY)


@once
async def check_compose(files: Sequence[Path], env_file: Path | None, folder: Path) -> None:
    """Returns when Docker Compose would take the files. Raises ``ComposeInvalid``."""
    await check(files, env_file, folder)


@once
async def save_files(saved: SavedFiles, note: Note, paths: Sequence[Path]) -> Note:
    """Keep the files as they are."""
    return await asyncio.to_thread(saved.save, note, paths)


@once
async def replace_file(saved: SavedFiles, path: Path, new: Path) -> None:
    """Let a new file take a place."""
    await asyncio.to_thread(saved.put, path, new)


@once
async def put_back_files(saved: SavedFiles, note: Note) -> None:
    """All files as they were."""
    await asyncio.to_thread(saved.put_back, note)


@once
async def run_change(command: Command, facts: Mapping[str, str]) -> None:
    """Run one command of a change."""
    await run_command(command, facts)


@once
async def await_health(
    probes: Mapping[str, tuple[Probe, float]], checks: Sequence[Command], facts: Mapping[str, str], patience: float
) -> None:
    """Returns when all is well. Raises ``NotHealthy`` naming what was not at the last look, ``patience`` seconds later.

    ``probes`` by name, each with the seconds that one look may take.
    """
    deadline, steady = monotonic() + patience, 0
    while True:
        wrong = [*await _looked(probes), *await _checked(checks, facts)]
        steady = 0 if wrong else steady + 1
        if steady >= STEADY or not (probes or checks):
            return
        if monotonic() + EVERY > deadline:
            if not wrong:
                return
            raise NotHealthy(f"Not well within {patience:g} s: {'; '.join(wrong)}")
        await asyncio.sleep(EVERY)


async def _looked(probes: Mapping[str, tuple[Probe, float]]) -> list[str]:
    """What is not well, and why."""
    found = await asyncio.gather(*(_look(probe, seconds) for probe, seconds in probes.values()))
    return [
        f"{name} ({seen.state}, {seen.code}{f': {seen.message}' if seen.message else ''})"
        for name, seen in zip(probes, found, strict=True)
        if seen.state not in WELL
    ]


async def _look(probe: Probe, seconds: float) -> Observation:
    try:
        async with asyncio.timeout(seconds):
            return await probe.look()
    except TimeoutError:
        return Observation("down", "timeout", f"no answer within {seconds:g} s")


async def _checked(checks: Sequence[Command], facts: Mapping[str, str]) -> list[str]:
    wrong = []
    for command in checks:
        try:
            await run_command(command, facts)
        except HookFailed as error:
            wrong.append(error.message.removesuffix("."))
    return wrong
