"""LDAP: a real bind over LDAP, StartTLS or LDAPS; without a username, what a server tells anyone."""

from contextlib import suppress
from functools import partial
from time import perf_counter
from urllib.parse import unquote, urlsplit

from ldap3 import NONE, Connection, Server
from ldap3.core.exceptions import LDAPExceptionError, LDAPResponseTimeoutError

from blocks.ldap_trust import LdapTrust
from blocks.own_thread import in_own_thread
from blocks.probes.names import connected, shown
from blocks.probes.observing import ca_file_of, cut, failed, good, late, limit_of, within
from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

WRONG_LOGIN = 49
"""LDAP's ``invalidCredentials`` (RFC 4511)."""
PORTS = {"ldap": 389, "ldap+starttls": 389, "ldaps": 636}
RESULTS = {
    8: ("tls", "It wants the connection to be encrypted: use ldaps:// or ldap+starttls://."),
    13: ("tls", "It wants the connection to be encrypted: use ldaps:// or ldap+starttls://."),
    48: ("login", "It does not take this kind of login (anonymous ones included): configure username and password."),
    51: ("busy", "It is busy: look at its load."),
    52: ("unavailable", "It says that it is not available: look at its log."),
    53: ("login", "It is unwilling to take this login: check username and password, and its policy."),
}
"""By LDAP's result code."""


class LdapProbe:
    """Binds, reads the server's root entry, and unbinds."""

    def __init__(self, service: ServiceSettings, settings: Settings, name: str) -> None:
        assert service.url is not None
        parts = urlsplit(service.url.get_secret_value())
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or PORTS[self._scheme]
        self._user = service.username if parts.username is None else unquote(parts.username)
        password = unquote(parts.password or "") if parts.username is not None else ""
        self._password = password or (service.password.get_secret_value() if service.password else "")
        if self._user and not self._password:  # to a server that is an anonymous login, which succeeds and proves nothing
            raise ConfigurationInvalid(f"services.{name}: username without a password: expected password as well.")
        self._limit, self._ca_file, self._slow = limit_of(service, settings), ca_file_of(service, settings), service.slow

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        where, began = shown(self._host, self._port), perf_counter()
        try:
            async with within(self._limit):
                # ldap3 says "unable to open socket" to all that can go wrong here.
                (await connected(self._host, self._port)).close()
                wrong = await in_own_thread(partial(self._bound, where), "ldap")
        except TimeoutError:
            return late(where, self._limit)
        except OSError as error:
            return failed(error, where)
        return wrong or good(perf_counter() - began, self._slow)

    def _bound(self, where: str) -> Observation | None:
        """What is wrong with it, if anything. Blocks, each step at most as long as the look may take."""
        trust = LdapTrust(self._host, self._ca_file)
        server = Server(
            self._host,
            port=self._port,
            use_ssl=self._scheme == "ldaps",
            tls=trust,
            get_info=NONE,
            connect_timeout=self._limit,
        )
        user, password = (self._user, self._password) if self._user else (None, None)
        # Whole seconds: it hands them to setsockopt.
        connection = Connection(server, user, password, auto_referrals=False, receive_timeout=max(1, round(self._limit)))
        try:
            return self._steps(connection, where)
        except LDAPResponseTimeoutError:
            return late(where, self._limit)
        except (LDAPExceptionError, OSError):
            return cut(where) if trust.failure is None else failed(trust.failure, where)
        except (LookupError, ValueError, TypeError, AttributeError):  # its parser, fed with what is no LDAP
            return Observation("down", "protocol", f"{where} does not answer in LDAP: are scheme and port right?")
        finally:
            with suppress(LDAPExceptionError, OSError):  # it says goodbye even on a connection that broke
                connection.unbind()

    def _steps(self, connection: Connection, where: str) -> Observation | None:
        connection.open(read_server_info=False)
        if self._scheme == "ldap+starttls" and not connection.start_tls(read_server_info=False):
            return Observation("down", "tls", f"{where} refuses StartTLS: is a certificate configured there?")
        if not connection.bind(read_server_info=False):
            return _refused(connection.result["result"], where)
        # A bind alone is answered by some proxies whose directory is away.
        if not connection.search("", "(objectClass=*)", "BASE", attributes=["1.1"]):
            return Observation("down", "search", f"{where} takes the login but does not answer a search: look at its log.")
        return None


def _refused(result: int, where: str) -> Observation:
    if result == WRONG_LOGIN:
        return Observation("down", "login", f"{where} refuses the login: check username and password.")
    code, words = RESULTS.get(result, ("login", f"{where} refuses the login (result {result}): look at its log."))
    return Observation("down", code, words)


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    return LdapProbe(service, settings, name)
