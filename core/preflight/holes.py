"""Versions with known holes, as of 2026-11-21: the first ones of each line in which what is named here is mended.

From the makers' own advisories. The list is short and is no scanner: it holds what the supported platforms run on, and only what
leads to foreign data or code. Look at the advisories for what came since.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

AS_OF = "2026-11-21"


@dataclass(frozen=True, slots=True)
class Hole:
    """``fixed``: the first mended version of each line; a line is the first ``depth`` numbers, () where there is only one."""

    images: tuple[str, ...]
    fixed: Mapping[tuple[int, ...], tuple[int, ...]]
    advisory: str
    depth: int = 1


HOLES: tuple[Hole, ...] = (
    Hole(
        ("postgres",),
        MappingProxyType({(14,): (14, 20), (15,): (15, 15), (16,): (16, 11), (17,): (17, 7), (18,): (18, 1)}),
        "CVE-2025-12818 and CVE-2025-8714, postgresql.org/support/security",
    ),
    Hole(
        ("redis",),
        MappingProxyType({(6, 2): (6, 2, 20), (7, 2): (7, 2, 11), (7, 4): (7, 4, 6), (8, 0): (8, 0, 4), (8, 2): (8, 2, 2)}),
        "CVE-2025-49844, redis.io/blog/security-advisory-cve-2025-49844",
        depth=2,
    ),
    Hole(
        ("valkey",),
        MappingProxyType({(7, 2): (7, 2, 11), (8, 0): (8, 0, 6), (8, 1): (8, 1, 4)}),
        "CVE-2025-49844, github.com/valkey-io/valkey/security/advisories",
        depth=2,
    ),
    Hole(
        ("mongo",),
        MappingProxyType(
            {
                (4, 4): (4, 4, 30),
                (5, 0): (5, 0, 32),
                (6, 0): (6, 0, 27),
                (7, 0): (7, 0, 28),
                (8, 0): (8, 0, 17),
                (8, 2): (8, 2, 3),
            }
        ),
        "CVE-2025-14847, jira.mongodb.org/browse/SERVER-115508",
        depth=2,
    ),
    Hole(
        ("minio/minio", "minio"),
        MappingProxyType({(): (2025, 10, 15)}),
        "CVE-2025-62506, github.com/minio/minio/security/advisories",
        depth=0,
    ),
    Hole(
        ("langgenius/dify-web",),
        MappingProxyType({(): (1, 10, 1, 1)}),
        "CVE-2025-55182, github.com/langgenius/dify/releases/tag/1.10.1-fix.1",
        depth=0,
    ),
    Hole(
        ("langgenius/dify-api",),
        MappingProxyType({(): (1, 1, 3)}),
        "CVE-2025-3466, github.com/langgenius/dify",
        depth=0,
    ),
    Hole(
        ("labring/fastgpt", "c121914yu/fastgpt", "fastgpt"),
        MappingProxyType({(): (4, 14, 17)}),
        "CVE-2026-44284, github.com/labring/FastGPT/security/advisories",
        depth=0,
    ),
)
