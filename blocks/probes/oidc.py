"""OpenID Connect: what discovery says, whether it is the issuer that was expected, and whether its keys can be used."""

import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from jwt import PyJWKSet
from jwt.exceptions import PyJWTError

from blocks.probes.asking import Answer, Question, ask
from blocks.probes.certificates import expiring
from blocks.probes.http import facts_of, question_of
from blocks.probes.observing import good
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe
from core.sweeps.reaching import Place

DISCOVERY = "/.well-known/openid-configuration"
"""OpenID Connect Discovery 1.0, section 4; below the issuer."""


class OidcProbe:
    """Fetches the discovery document and the keys; the two may have different addresses, as seen from here and from people."""

    def __init__(self, service: ServiceSettings, question: Question) -> None:
        self._service, self._question = service, question

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        answer = await ask(self._question)
        if isinstance(answer, Observation):
            return answer
        told = document_of(answer, "What it answers as its discovery document")
        if isinstance(told, Observation):
            return told
        issuer = told.get("issuer")
        wrong = self._wrong_issuer(issuer)
        if wrong is not None:
            return Observation(wrong.state, wrong.code, wrong.message, answer.seconds, facts_of(answer))
        own = self._service.jwks_url
        where = own or told.get("jwks_uri")
        if not isinstance(where, str) or urlsplit(where).scheme not in {"http", "https"}:
            return Observation(
                "down", "discovery", "Its discovery document names no jwks_uri: set jwks_url, or correct its origin."
            )
        return await self._keys(where, None if own else answer.place, answer)

    def _wrong_issuer(self, issuer: object) -> Observation | None:
        if not isinstance(issuer, str) or not issuer:
            return Observation(
                "down", "discovery", "Its discovery document names no issuer: is this an OpenID provider's address?"
            )
        expected = self._service.issuer
        if expected is None:
            asked = self._question.url.removesuffix(DISCOVERY).rstrip("/")
            if issuer.rstrip("/") == asked:
                return None
            hint = "if that is meant, set issuer; tokens are refused by all who expect this address"
            return Observation("degraded", "issuer", f"It names itself by another address than the one asked: {hint}.")
        if issuer == expected:
            return None
        return Observation("down", "issuer", f"Its issuer is not {expected}: tokens are refused by all who expect that.")

    async def _keys(self, where: str, led_from: Place | None, discovery: Answer) -> Observation:
        limit = self._question.limit - discovery.seconds
        # Neither login nor headers: keys are public, and their address may be anyone's.
        keys_of = replace(self._question, url=where, limit=max(0.1, limit), headers={}, login=None, led_from=led_from)
        answer = await ask(keys_of)
        if isinstance(answer, Observation):
            return Observation(answer.state, answer.code, f"Its keys: {answer.message}")
        told = document_of(answer, "What it answers as its keys")
        if isinstance(told, Observation):
            return told
        facts = {**facts_of(discovery), "keys": 0}
        try:
            keys = PyJWKSet.from_dict(dict(told)).keys
        except (PyJWTError, ValueError, TypeError, KeyError, AttributeError):
            return Observation(
                "down", "keys", "None of its keys can be used: look at its signing keys.", discovery.seconds, facts
            )
        signing = [key for key in keys if key.public_key_use in {None, "sig"} and key.key_type != "oct"]
        facts["keys"] = len(signing)
        if not signing:
            return Observation(
                "down", "keys", "None of its keys is for signing: look at its signing keys.", discovery.seconds, facts
            )
        seconds = discovery.seconds + answer.seconds
        for each in (discovery.certificate, answer.certificate):
            if each is not None and (wrong := expiring(each, self._service, answers=True)) is not None:
                return Observation(wrong.state, wrong.code, wrong.message, seconds, facts)
        return good(seconds, self._service.slow, facts)


def document_of(answer: Answer, what: str) -> Mapping[str, object] | Observation:
    """The JSON object in an answer, or what is wrong with it; ``what`` begins the message."""
    if answer.status != 200:
        return Observation(
            "down", "status", f"{what} is {answer.status}, not 200: check the address, and its log.", answer.seconds
        )
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict):
        return told
    return Observation("down", "json", f"{what} is no JSON object: is this the right address?", answer.seconds)


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    assert service.url is not None
    url = service.url.get_secret_value().rstrip("/")
    if not urlsplit(url).path.endswith(DISCOVERY):
        url += DISCOVERY
    return OidcProbe(service, question_of(service, settings, url))
