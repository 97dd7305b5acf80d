"""Which version of a model a server has, and what it means that it is another one than before.

Ollama tells a digest and a file has one. Other servers tell facts of which some go with the weights; two versions are compared by
the facts that both of them have, so that a server that learned to tell more has not changed its models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

import orjson

from core.alerts.alert import Alert
from core.configured import configured
from core.settings import ProviderSettings, Settings
from core.settings_services import Severity
from core.topology.ours import NAME, model_service

Kind = Literal["ollama", "file", "listed"]
"""How the version is known: by Ollama's digest, by that of the file, by the facts in a server's list."""
Change = Literal["new", "changed", "gone", "back"]
Fact = str | int | float
SEVERITIES: Mapping[Change, Severity] = {"new": "info", "back": "info", "changed": "warning", "gone": "warning"}
SAID: Mapping[Change, str] = {
    "new": "is new",
    "back": "is there again",
    "changed": "is another version now",
    "gone": "is not there any more",
}
SHORT = 12
"""Characters of a digest that are shown to people."""


@dataclass(frozen=True, slots=True)
class Version:
    """A model as its server has it. ``digest`` of the weights, else of the facts; ``details`` hold nothing of a request."""

    model: str
    kind: Kind
    digest: str
    details: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changed:
    """Something that changed about a model. ``before`` and ``after`` are digests, empty where there was none; ``what``: the
    facts that differ."""

    provider: str
    model: str
    change: Change
    before: str = ""
    after: str = ""
    what: tuple[str, ...] = ()


def provider_named(name: str, settings: Settings) -> ProviderSettings:
    """A section ``[providers.NAME]``. Raises ``NotFound``."""
    return configured("provider", name, settings.providers)


def listed_version(model: str, details: Mapping[str, Fact]) -> Version:
    """The version of a model of which only facts are known."""
    return Version(model, "listed", sha256(orjson.dumps(dict(details), option=orjson.OPT_SORT_KEYS)).hexdigest(), details)


def differing(before: Version, after: Version) -> tuple[str, ...]:
    """What differs; empty where it is the same version, or nobody can tell."""
    if before.kind != after.kind:
        return ()
    if after.kind != "listed":
        return ("digest",) if before.digest != after.digest else ()
    return tuple(sorted(key for key in before.details.keys() & after.details.keys() if before.details[key] != after.details[key]))


def changes(provider: str, known: Mapping[str, Version], gone: Sequence[str], seen: Sequence[Version]) -> list[Changed]:
    """What changed between what was ``known`` (of which those in ``gone`` were not there any more) and what is ``seen`` now.

    Nothing is new where nothing was known. An empty list is no news of its models: a server that starts lists none yet.
    """
    if not known or not seen:
        return []
    found = []
    for version in seen:
        before = known.get(version.model)
        if before is None:
            found.append(Changed(provider, version.model, "new", after=version.digest))
        elif what := differing(before, version):
            found.append(Changed(provider, version.model, "changed", before.digest, version.digest, what))
        elif version.model in gone:
            found.append(Changed(provider, version.model, "back", before.digest, version.digest))
    here = {version.model for version in seen}
    lost = (each for name, each in known.items() if name not in here and name not in gone)
    return found + [Changed(provider, each.model, "gone", before=each.digest) for each in lost]


def alert_of(change: Changed, fingerprint: str) -> Alert:
    """What people are told of it, once; changes of one provider go out together."""
    text = f"Model {change.model} of {change.provider} {SAID[change.change]}."
    if change.change == "changed" and change.what != ("digest",):
        text += f" What its server says of it differs: {', '.join(change.what)}."
    facts = {"Provider": change.provider, "Model": change.model}
    facts |= {name: shown(digest) for name, digest in (("Before", change.before), ("Now", change.after)) if digest}
    return Alert(
        fingerprint=fingerprint,
        title=f"Model {change.model} {SAID[change.change]}",
        severity=SEVERITIES[change.change],
        text=text,
        origin="flow",
        service=model_service(change.provider, change.model),
        platform=NAME,
        group=f"models:{change.provider}",
        facts=facts,
        lasting=False,
    )


def shown(digest: str) -> str:
    """A digest as people compare it."""
    return digest.removeprefix("sha256:")[:SHORT]
