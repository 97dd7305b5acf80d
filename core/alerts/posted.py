"""What a caller tells people through us, as an alert of ours."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from core.alerts.alert import Alert, Link
from core.alerts.incoming import LONGEST_TITLE, cut
from core.settings_services import Severity


def fingerprint_of(key: str) -> str:
    """Of an alert that a caller gave a key."""
    return f"api:{key}"


def posted(
    *,
    title: str = "",
    text: str = "",
    key: str | None = None,
    severity: Severity = "warning",
    service: str = "",
    platform: str = "",
    facts: Mapping[str, str] | None = None,
    links: Sequence[Link] = (),
) -> Alert:
    """An alert of a caller's own words. Without a title its first line is the title; without a key it is over once it is told,
    and the same words twice before that are one."""
    words = text.strip()
    if not title.strip():
        title, _, words = words.partition("\n")
    lasting = key is not None
    mark = (
        key
        if key is not None
        else sha256(repr((title, words, severity, service, platform)).encode("utf-8", "replace")).hexdigest()
    )
    return Alert(
        fingerprint=fingerprint_of(mark),
        title=cut(" ".join(title.split()), LONGEST_TITLE),
        severity=severity,
        text=words.strip(),
        origin="api",
        service=service,
        platform=platform,
        facts=facts or {},
        links=tuple(links),
        lasting=lasting,
    )
