"""What came back beside what was saved, and the one word for how a drill or a restore ended: pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.backups.errors import NoTarget, NothingToDrill, RestoreDiffers, ToolTooOld
from core.backups.manifest import Manifest
from core.backups.place import Fingerprint
from core.errors import PilothouseError, named

Result = Literal["good", "differs", "extension_mismatch", "version_mismatch", "failed", "nothing_to_drill", "no_target"]
WORST_FIRST: tuple[Result, ...] = (
    "failed",
    "differs",
    "version_mismatch",
    "extension_mismatch",
    "no_target",
    "nothing_to_drill",
    "good",
)
HARMLESS: tuple[Result, ...] = ("good", "no_target", "nothing_to_drill")
"""Those that say nothing against the backup."""
SHOWN = 20
"""Differences that are told of; the others are counted."""
_VERSION = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Difference:
    """One table, bucket or folder that did not come back as it was. ``found`` is None where there is none of that name."""

    name: str
    saved: int
    found: int | None
    """Rows, objects or files. As many as were saved where only what is in them differs."""

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.name}: missing"
        return f"{self.name}: {self.found} of {self.saved}" if self.found != self.saved else f"{self.name}: other content"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared: ``rows`` found in ``tables``, of which ``summed`` have the checksum that was saved."""

    rows: int
    tables: int
    summed: int
    differences: Sequence[Difference]

    @property
    def result(self) -> Result:
        return "differs" if self.differences else "good"

    def require_good(self, name: str) -> None:
        """Raises ``RestoreDiffers``, which names what differs."""
        if self.differences:
            more = len(self.differences) - SHOWN
            listed = "; ".join(str(each) for each in self.differences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
            raise RestoreDiffers(f"{name} does not hold what was saved: {listed}.")


def saved_in(manifest: Manifest) -> Fingerprint:
    """What the manifest says was saved."""
    return Fingerprint(manifest.counts, manifest.checksums)


def compare(saved: Fingerprint, found: Fingerprint) -> Comparison:
    """``found`` was counted and summed like ``saved``. What else a target holds is no difference."""
    differences = []
    for name, count in sorted(saved.counts.items()):
        there = found.counts.get(name)
        if there != count or (name in saved.checksums and found.checksums.get(name) != saved.checksums[name]):
            differences.append(Difference(name, count, there))
    for name in sorted(saved.checksums.keys() - saved.counts.keys()):
        if found.checksums.get(name) != saved.checksums[name]:
            differences.append(Difference(name, 0, 0 if name in found.checksums else None))
    alike = sum(found.checksums.get(name) == word for name, word in saved.checksums.items())
    tables = [name for name in saved.counts if name in found.counts]
    return Comparison(sum(found.counts[name] for name in tables), len(tables), alike, differences)


def result_of(error: PilothouseError, saved: str = "", target: str = "") -> Result:
    """How a restore that raised ``error`` ended; the servers' names and versions tell a target that is too old."""
    if error.code == "extension_missing":
        return "extension_mismatch"
    if isinstance(error, NothingToDrill):
        return "nothing_to_drill"
    if isinstance(error, NoTarget):
        return "no_target"
    if isinstance(error, RestoreDiffers):
        return "differs"
    if isinstance(error, ToolTooOld) or (error.code == "restore_failed" and is_older(target, saved)):
        return "version_mismatch"
    return "failed"


def is_older(server: str, other: str) -> bool:
    """Whether one server, such as ``PostgreSQL 16.4``, is of an older major version than the other."""
    mine, others = _VERSION.search(server), _VERSION.search(other)
    return mine is not None and others is not None and int(mine[1]) < int(others[1])


def incomplete(error: PilothouseError, target: str) -> PilothouseError:
    """The same error, which also says that the target is not to be used as it is."""
    more = f" {target} is incomplete: restore into it again with --replace."
    return named({"code": error.code, "message": error.message.rstrip() + more})


def worst(results: Sequence[Result]) -> Result:
    """Of several drills."""
    return next((result for result in WORST_FIRST if result in results), "nothing_to_drill")
