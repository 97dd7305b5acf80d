"""Whether the images of compose files are of versions with known holes."""

import re
from collections.abc import Sequence

from core.preflight.composed import Service
from core.preflight.holes import AS_OF, HOLES, Hole
from core.preflight.item import Item, judged, listed
from core.topology.known import name_of

_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(?:-fix\.?(\d+))?(?:[-_].*)?$")
_DAY = re.compile(r"RELEASE\.(\d{4})-(\d{2})-(\d{2})T")


def image_versions(services: Sequence[Service]) -> Item:
    """By the tags; a tag without its last numbers may be any of them, and a digest says nothing."""
    wrong, loose = [], []
    for each in services:
        hole = _hole(each.part.image)
        version = version_of(each.part.image) if hole is not None else None
        if hole is None:
            continue
        if version is None:
            loose.append(f"{each.name} ({each.part.image.rpartition('/')[2]})")
        elif (fixed := _mended(version, hole)) is not None:
            shown = ".".join(str(number) for number in fixed)
            if len(version) <= hole.depth:
                loose.append(f"{each.name} ({each.part.image.rpartition('/')[2]})")
            else:
                wrong.append(f"{each.name}: {each.part.image} has a known hole, mended in {shown} ({hole.advisory})")
    doubtful = [f"The tag does not say which version it is: {listed(loose)}"] if loose else []
    todo = f"Back up, then take a mended version. The list here is of {AS_OF} and short: look at the makers' advisories too."
    return judged("image_versions", wrong, doubtful, f"No image is on the list of known holes (of {AS_OF})", todo)


def version_of(image: str) -> tuple[int, ...] | None:
    """The numbers of its tag; None where there are none."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    if (day := _DAY.match(tag)) is not None:
        return tuple(int(number) for number in day.groups())
    found = _VERSION.match(tag)
    if found is None:
        return None
    numbers = tuple(int(number) for number in found.group(1).split("."))
    return (*numbers, int(found.group(2))) if found.group(2) else numbers


def _hole(image: str) -> Hole | None:
    names = name_of(image)
    return next((hole for hole in HOLES if set(names) & set(hole.images)), None)


def _mended(version: tuple[int, ...], hole: Hole) -> tuple[int, ...] | None:
    """The version to take instead; None where this one is well."""
    line = version[: hole.depth]
    lines = sorted(hole.fixed)
    if line in hole.fixed:
        return hole.fixed[line] if version < hole.fixed[line] else None
    if line > lines[-1]:
        return None
    # A line that got no mended version: the next that did.
    return hole.fixed[next(each for each in lines if each > line)]
