"""What browsers meet: which pages may call the API, and whether what they send can be read on the way."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from core.addresses import is_loopback
from core.preflight.item import Item, judged, listed
from core.preflight.secrets import Given
from core.sweeps.observation import Observation

AWAY = frozenset({"timeout", "reset", "name", "refused", "connection"})
"""Codes of looks that met no certificate at all."""


def cors(origins: Sequence[Given]) -> Item:
    """The origins whose pages may call, ours and those of compose files."""
    wrong = [each.where for each in origins if "*" in each.value]
    plain = [each.where for each in origins if each.value.startswith("http://") and not _is_here(each.value)]
    told = [f"{listed(wrong)}: any page may call (`*`)"] if wrong else []
    doubtful = [f"{listed(plain)}: pages that come without TLS may call"] if plain else []
    good = f"Only listed pages may call: {listed(each.value for each in origins)}" if origins else "Only our own pages may call"
    return judged("cors", told, doubtful, good, "Set CORS_ORIGIN to the addresses of your pages, such as https://ai.example.com.")


def tls(host: str, public_url: str | None, own: Observation | None, outside: Observation | None) -> Item:
    """``own``: what was seen of our certificate file; ``outside``: of a handshake at ``public_url``, where that is HTTPS."""
    wrong, doubtful = [], []
    for name, seen in (("tls_cert", own), (public_url or "", outside)):
        if seen is not None and seen.state == "degraded":
            doubtful.append(f"{name}: {seen.message}")
        elif seen is not None and (seen.state in {"unreachable", "unknown"} or seen.code in AWAY):
            doubtful.append(f"{name}: could not be looked at: {seen.message}")
        elif seen is not None and seen.state == "down":
            wrong.append(f"{name}: {seen.message}")
    secured = (public_url or "").startswith("https://")
    if public_url is not None and not secured and not _is_here(public_url):
        wrong.append("public_url is http: what people send, passwords too, can be read on the way")
    if own is None and not is_loopback(host):
        if secured:
            doubtful.append(f"The API listens on {host} without TLS, so that it can be reached past the proxy")
        else:
            wrong.append(f"The API listens on {host} without TLS: what people send, passwords too, can be read on the way")
    reached = secured or own is not None
    good = (
        "Reached over TLS, by a certificate that lasts" if reached else "Only this machine reaches the API, so nothing needs TLS"
    )
    todo = "Give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy with TLS; renew certificates in time."
    return judged("tls", wrong, doubtful, good, todo)


def _is_here(address: str) -> bool:
    return is_loopback(urlsplit(address).hostname or "")
