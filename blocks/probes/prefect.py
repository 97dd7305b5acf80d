"""Prefect's own server: that it is healthy, and that somebody asks it for work."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter

from blocks.probes.asking import Answer, Question, ask
from blocks.probes.certificates import expiring
from blocks.probes.http import facts_of, question_of
from blocks.probes.observing import good
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

POLLED = 120.0
"""Seconds within which a process that serves flows has asked for work; it asks every few."""


class PrefectProbe:
    """Asks for its health, its version, and when each deployment was last asked for."""

    def __init__(self, service: ServiceSettings, question: Question) -> None:
        self._service, self._question = service, question

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        began = perf_counter()
        answer = await ask(self._at("/health", began))
        if isinstance(answer, Observation):
            return answer
        facts: dict[str, str | float | int] = dict(facts_of(answer))
        if answer.status in {401, 403}:
            return Observation("down", "login", "It refuses the login: check prefect.auth_string.", answer.seconds, facts)
        if answer.status != 200 or _told(answer) is not True:
            message = f"Its health check answers {answer.status} and not that all is well: look at its log and its database."
            return Observation("down", "health", message, answer.seconds, facts)
        version = await ask(self._at("/admin/version", began))
        if isinstance(version, Answer) and isinstance(said := _told(version), str):
            facts["version"] = said[:20]
        wrong = await self._unpolled(facts, began)
        if wrong is None and answer.certificate is not None:
            wrong = expiring(answer.certificate, self._service, answers=True)
        if wrong is not None:
            return Observation(wrong.state, wrong.code, wrong.message, answer.seconds, facts)
        return good(answer.seconds, self._service.slow, facts)

    async def _unpolled(self, facts: dict[str, str | float | int], began: float) -> Observation | None:
        """What is wrong when nobody asks for work; nothing where there is no deployment."""
        wanted = json.dumps({"sort": "UPDATED_DESC", "limit": 50}).encode()
        asked = replace(self._at("/deployments/filter", began), method="POST", content=wanted)
        answer = await ask(asked)
        told = _told(answer) if isinstance(answer, Answer) and answer.status == 200 else None
        if not isinstance(told, list) or not told:
            return None
        facts["deployments"] = len(told)
        ages, made = _ages(told, "last_polled"), _ages(told, "created")  # what was just published has had no time to be asked for
        if min([*ages, *made], default=POLLED + 1) <= POLLED:
            return None
        since = f"for {min(ages):.0f} s" if ages else "yet"
        return Observation("degraded", "unpolled", f"Nobody has asked it for work {since}: does `pilothouse serve flows` run?")

    def _at(self, path: str, began: float) -> Question:
        """A question that takes no longer than the look may still take."""
        left = max(0.05, self._question.limit - (perf_counter() - began))
        return replace(self._question, url=f"{self._question.url}{path}", limit=left)


def _told(answer: Answer) -> object:
    try:
        return json.loads(answer.body)
    except ValueError:
        return None


def _ages(deployments: list[object], of: str) -> list[float]:
    return [age for each in deployments if isinstance(each, Mapping) and (age := _age(each.get(of))) is not None]


def _age(said: object) -> float | None:
    try:
        when = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return None if when is None else (datetime.now(UTC) - when.astimezone(UTC)).total_seconds()


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``. Without a ``url`` the server that this process itself uses, with its login."""
    from prefect.settings import get_current_settings  # noqa: PLC0415 - slow to load

    api = get_current_settings().api
    url = service.url.get_secret_value() if service.url is not None else settings.prefect.api_url or str(api.url or "")
    question = question_of(service, settings, (url or f"http://127.0.0.1:{settings.prefect_port}/api").rstrip("/"))
    if question.login is None and service.url is None and api.auth_string is not None:
        user, _, password = api.auth_string.get_secret_value().partition(":")
        question = replace(question, login=(user, password))
    return PrefectProbe(service, question)
