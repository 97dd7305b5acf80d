"""HTTP and HTTPS: status, body, a value within JSON, latency, and the certificate on the way."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from blocks.probes.asking import MOST, Answer, Question, ask
from blocks.probes.certificates import expiring
from blocks.probes.observing import ca_file_of, good, limit_of
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

if TYPE_CHECKING:
    from jsonpath_ng import JSONPath

LARGE = 20_000
"""Bytes of JSON that are looked through beside the event loop."""


class HttpProbe:
    """Asks once and compares the answer with what is expected of it."""

    def __init__(self, service: ServiceSettings, question: Question) -> None:
        self._service, self._question = service, question

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        answer = await ask(self._question)
        if isinstance(answer, Observation):
            return answer
        facts = facts_of(answer)
        wrong = self._wrong_status(answer) or await self._wrong_body(answer) or self._wrong_certificate(answer)
        if wrong is not None:
            return Observation(wrong.state, wrong.code, wrong.message, answer.seconds, facts)
        return good(answer.seconds, self._service.slow, facts)

    def _wrong_status(self, answer: Answer) -> Observation | None:
        if _within(answer.status, self._service.status):
            return None
        return Observation(
            "down", "status", f"It answered {answer.status}, not {self._service.status}: {_advice(answer.status)}."
        )

    async def _wrong_body(self, answer: Answer) -> Observation | None:
        contains, path = self._service.contains, self._service.json_path
        if contains is not None and contains.encode() not in answer.body:
            return Observation("down", "body", 'Its answer does not hold what "contains" expects: look at what it answers.')
        if path is None:
            return None
        if not answer.whole:
            return Observation(
                "down", "json", f"Its answer has more than {MOST // 1_000_000} MB, too much to look for json_path in."
            )
        if len(answer.body) > LARGE:
            return await asyncio.to_thread(_wrong_json, answer.body, path, self._service.json_value)
        return _wrong_json(answer.body, path, self._service.json_value)

    def _wrong_certificate(self, answer: Answer) -> Observation | None:
        return None if answer.certificate is None else expiring(answer.certificate, self._service, answers=True)


def facts_of(answer: Answer) -> Mapping[str, str | float | int]:
    """What is kept of an answer: nothing that was in it."""
    days = {} if answer.certificate is None else {"certificate_days": round(answer.certificate.days_left, 1)}
    return {"status": answer.status, **days}


def _within(status: int, good_ones: str) -> bool:
    ranges = (part.partition("-") for part in good_ones.split(","))
    return any(int(first) <= status <= int(last or first) for first, _, last in ranges)


def _advice(status: int) -> str:
    if status in {401, 403, 407}:
        return "check the login and headers that it is asked with"
    if status in {404, 405, 410}:
        return "check the path, and whether this release still has it"
    if status == 429:
        return "it limits how often it is asked"
    if status in {502, 503, 504}:
        return "it is starting, overloaded, or what it stands on is down; look at its log"
    return "look at its log" if status >= 500 else "check the address, or what status is expected"


def _wrong_json(body: bytes, path: str, value: str | None) -> Observation | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Observation("down", "json", "Its answer is no JSON, in which json_path could be looked for.")
    try:
        found = [each.value for each in _parsed(path).find(document)]
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError):  # a filter that the answer does not fit
        found = []
    if not found:
        return Observation("down", "json", f"json_path {path} leads to nothing in its answer.")
    if value is not None and all(_text(each) != value for each in found):
        return Observation("down", "json", f"json_path {path} leads to another value than json_value expects.")
    return None


def _text(value: object) -> str:
    """As people write it in ``json_value``: texts as they are, all else as JSON has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@cache
def _parsed(path: str) -> "JSONPath":
    from jsonpath_ng.ext.parser import parse  # noqa: PLC0415 - its grammar takes a while to load, and few need it

    return parse(path)


def question_of(service: ServiceSettings, settings: Settings, url: str) -> Question:
    """How a service is asked at an address, with its login, headers, trust and limit."""
    parts = urlsplit(url)
    login = None
    if parts.username is not None:
        login = unquote(parts.username), unquote(parts.password or "")
    elif service.username is not None and service.password is not None:
        login = service.username, service.password.get_secret_value()
    return Question(
        url=url,
        limit=limit_of(service, settings),
        headers={name: value.get_secret_value() for name, value in service.headers.items()},
        login=login,
        ca_file=ca_file_of(service, settings),
        reach=settings.sweeps.reach,
    )


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    assert service.url is not None
    question = question_of(service, settings, service.url.get_secret_value())
    body = service.contains is not None or service.json_path is not None
    return HttpProbe(service, replace(question, method=service.method, redirects=service.redirects, body=body))
