"""Weaviate: whether it is ready, then how its nodes are."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from blocks.probes.asking import Answer, Question, ask
from blocks.probes.findings import Ended, Findings, down, looked
from blocks.probes.names import shown
from blocks.probes.observing import ca_file_of, limit_of
from core.addresses import http_url
from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

HEALTHY = "HEALTHY"
WORD = re.compile(r"[\w.+-]{1,40}")


class WeaviateProbe:
    """Asks the REST interface; the key is the service's password."""

    def __init__(self, where: str, question: Question, slow: float | None) -> None:
        self._where = where
        self._question = question
        self._slow = slow

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        return await looked(self._where, self._question.limit, self._slow, self._asked)

    async def _asked(self, found: Findings) -> None:
        self._judge_ready((await self._ask("/v1/.well-known/ready")).status)
        found.answered()
        self._judge_nodes(await self._ask("/v1/nodes"), found)

    async def _ask(self, path: str) -> Answer:
        answer = await ask(replace(self._question, url=self._question.url + path))
        if isinstance(answer, Observation):
            raise Ended(answer)
        return answer

    def _judge_ready(self, status: int) -> None:
        if status == 503:
            raise down("starting", f"{self._where} is not ready (503): wait, and look at its log if that does not end.")
        if status in {401, 403}:
            raise down("login", f"{self._where} refused the key ({status}): correct the password, which is the API key.")
        if status == 404:
            raise down("protocol", f"What answers at {self._where} is no Weaviate (404): correct the url.")
        if not 200 <= status < 300:
            raise down("status", f"{self._where} answered with the status {status}: look at its log.")

    def _judge_nodes(self, answer: Answer, found: Findings) -> None:
        if answer.status in {401, 403}:
            if "Authorization" not in self._question.headers:
                found.unchecked("Neither key nor nodes were checked: set password to an API key.")
                return
            raise down("login", f"{self._where} refused the key ({answer.status}): correct the password, which is the API key.")
        nodes = _nodes(answer) if answer.status == 200 else []
        if not nodes:
            found.note("It does not tell how its nodes are.")
            return
        states = Counter(_word(each.get("status")) for each in nodes)
        bad = sum(states.values()) - states[HEALTHY]
        found.facts |= {"nodes": len(nodes), "nodes_healthy": states[HEALTHY], "version": _word(nodes[0].get("version"))}
        if bad:
            told = ", ".join(f"{count} {state}" for state, count in states.items() if state != HEALTHY)
            sentence = f"{bad} of {len(nodes)} nodes are not healthy ({told}): look at /v1/nodes and their logs."
            found.add("degraded" if states[HEALTHY] else "down", "nodes", sentence)


def _nodes(answer: Answer) -> list[Mapping[str, Any]]:
    try:
        told = json.loads(answer.body)
        return [dict(each) for each in told["nodes"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []


def _word(told: object) -> str:
    """A short word of an answer, which is a stranger's."""
    return told if isinstance(told, str) and WORD.fullmatch(told) else "unknown"


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    try:
        url = http_url("" if service.url is None else service.url.get_secret_value())
    except ValueError as error:
        raise ConfigurationInvalid(f"services.{name}.url: {error}.") from None
    headers = {key: value.get_secret_value() for key, value in service.headers.items()}
    if service.password is not None:
        headers["Authorization"] = f"Bearer {service.password.get_secret_value()}"
    parts = urlsplit(url)
    question = Question(
        url=url,
        limit=limit_of(service, settings),
        headers=headers,
        ca_file=ca_file_of(service, settings),
        redirects=False,
        reach=settings.sweeps.reach,
    )
    where = shown(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    return WeaviateProbe(where, question, service.slow)
