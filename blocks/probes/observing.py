"""What an answer that came, or a connection that failed, says about a service: one word for programs, one line for people."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, State

Facts = Mapping[str, str | float | int]
SHARE = 0.95
CERTIFICATES: Mapping[int, tuple[str, str]] = {
    9: ("not_yet", "The certificate of {} is not valid yet: check the clocks."),
    10: ("expired", "The certificate of {} has expired: renew it."),
    62: ("wrong_name", "The certificate of {} is for another name: check the address, and the certificate's names."),
    64: ("wrong_name", "The certificate of {} is not for this address: ask by a name that is in it."),
}
"""By OpenSSL's verify code; all others mean that nobody trusted vouches for it."""
UNTRUSTED = ("untrusted", "The certificate of {} is not from a CA that is trusted here: name the CA's file in ca_file.")
KINDS: Mapping[type[OSError], tuple[str, str]] = {
    ssl.SSLError: ("tls", "{} does not speak TLS as expected: are scheme and port right, and its TLS version?"),
    TimeoutError: ("timeout", "{} did not accept a connection in time: is a firewall in between?"),
    ConnectionRefusedError: ("refused", "{} refused the connection: is it running, and listening there?"),
    ConnectionError: ("reset", "{} broke the connection off: look at its log."),
    FileNotFoundError: ("refused", "{} is not there: is it running?"),
}
NUMBERS: Mapping[int, tuple[State, str, str]] = {
    errno.ENETUNREACH: ("unreachable", "no_route", "This machine has no way to {}: check its network and routes."),
    errno.EHOSTUNREACH: ("down", "no_route", "{} cannot be reached: is the host up?"),
    errno.EACCES: ("unreachable", "not_allowed", "This process may not connect to {}: check permissions and firewall."),
    errno.EPERM: ("unreachable", "not_allowed", "This process may not connect to {}: check permissions and firewall."),
}


def limit_of(service: ServiceSettings, settings: Settings) -> float:
    """Seconds that one look may take."""
    return settings.sweeps.timeout if service.timeout is None else service.timeout


def within(limit: float) -> asyncio.Timeout:
    """Ends a look a little before its caller does, who could not say what was looked at."""
    return asyncio.timeout(limit * SHARE)


def ca_file_of(service: ServiceSettings, settings: Settings) -> Path | None:
    """The CA certificates that are trusted for this service besides the system's."""
    return service.ca_file or settings.ca_file


def good(seconds: float, slow: float | None = None, facts: Facts | None = None) -> Observation:
    """What answered as it should, after so many seconds; more than ``slow`` are too many."""
    if slow is not None and seconds > slow:
        message = f"It took {seconds:.2g} s to answer, more than {slow:g} s: is it overloaded?"
        return Observation("degraded", "slow", message, seconds, facts or {})
    return Observation("up", seconds=seconds, facts=facts or {})


def late(where: str, limit: float) -> Observation:
    """What did not answer in time."""
    return Observation("down", "timeout", f"{where} did not answer within {limit:g} s: is it overloaded, or a firewall between?")


def cut(where: str) -> Observation:
    """What took a connection and broke it off."""
    return Observation("down", "reset", f"{where} broke the connection off: look at its log.")


def failed(error: OSError, where: str) -> Observation:
    """What a connection's error means; ``where`` is ``host:port`` and holds no secret.

    The error's own words are not repeated: some libraries put addresses and answers into them.
    """
    if isinstance(error, socket.gaierror):
        host = where.rpartition(":")[0] or where
        return Observation("down", "name", f"The name {host} leads to no address from here: check the name, and DNS.")
    if isinstance(error, ssl.SSLCertVerificationError):
        code, words = CERTIFICATES.get(error.verify_code, UNTRUSTED)
        return Observation("down", code, words.format(where))
    if error.errno is not None and error.errno in NUMBERS and not isinstance(error, ssl.SSLError):
        state, code, words = NUMBERS[error.errno]
        return Observation(state, code, words.format(where))
    for kind, (code, words) in KINDS.items():
        if isinstance(error, kind):
            return Observation("down", code, words.format(where))
    word = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return Observation("down", "connection", f"The connection to {where} failed ({word}).")


def first_cause(error: BaseException) -> BaseException:
    """Libraries wrap each other's errors, and the last of them the system's."""
    while (cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        error = cause
    return error
