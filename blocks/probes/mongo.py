"""MongoDB: a login and ping, then what the server tells of its replica set and connections."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pymongo import MongoClient
from pymongo.errors import NotPrimaryError, OperationFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.uri_parser import parse_uri

from blocks.own_thread import in_own_thread
from blocks.probes.findings import SHARE, Ended, Findings, down, limits_of, looked
from blocks.probes.names import connected, shown
from blocks.probes.observing import UNTRUSTED, ca_file_of, failed, late, limit_of
from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

PORT = 27017
EVERY = 0.6
"""Seconds by which the driver may overrun its time to find a server: it tries again at intervals."""
FINDING = 0.75
"""Of a probe's time what the driver gets at most: what it then says of the server is worth more than that the time is up."""
_LOGIN = ("login", "{} refused the login: correct username, password and authSource.")
_UNREADY = ("starting", "{} is starting up or shutting down: look at its log if that does not end.")
_ANSWERS = {
    18: _LOGIN,
    8000: _LOGIN,
    13: ("login", "{} lets this login do nothing: grant it a role."),
}
"""By the number of the error."""
_UNREACHED = (
    ("certificate verify failed", UNTRUSTED[0], UNTRUSTED[1]),
    ("CERTIFICATE_VERIFY_FAILED", UNTRUSTED[0], UNTRUSTED[1]),
    ("SSL", "tls", "{} does not speak TLS as the url asks for (tls=true)."),
    ("client is configured to connect to a replica set named", "replica_set", "{} is of another replica set than the url says."),
    ("connection closed", "protocol", "{} broke the connection off: is it a MongoDB, and does it want TLS (tls=true)?"),
    ("Connection reset", "protocol", "{} broke the connection off: is it a MongoDB, and does it want TLS (tls=true)?"),
    ("Connection refused", "refused", "{} refused the connection: is it running, and listening there?"),
    ("DNS", "name", "The name of {} leads to no servers from here: check the name, and DNS (SRV records)."),
    ("not known", "name", "The name of {} leads to no address from here: check the name, and DNS."),
)
"""What the driver says of servers that it could not use, and what it means; the first that fits counts."""


@dataclass(frozen=True, slots=True)
class _Way:
    """``alone`` is the one server that is meant, by host and port; None where the driver has to find out."""

    url: str
    options: Mapping[str, Any]
    where: str
    alone: tuple[str, int] | None
    has_login: bool


class MongoProbe:
    """One server where the address names one, else whichever of a replica set leads it."""

    def __init__(self, way: _Way, service: ServiceSettings, limit: float) -> None:
        self._way = way
        self._service = service
        self._limit = limit

    async def look(self) -> Observation:
        """See ``Probe.look``."""

        async def asked(found: Findings) -> None:
            if self._way.alone is not None:
                # The driver would try a closed port until its time is up.
                try:
                    (await connected(*self._way.alone)).close()
                except OSError as error:
                    raise Ended(failed(error, self._way.where)) from None
            await in_own_thread(partial(self._asked, found), "mongo-probe")

        return await looked(self._way.where, self._limit, self._service.slow, asked)

    def _asked(self, found: Findings) -> None:
        try:
            with MongoClient[dict[str, Any]](self._way.url, **self._way.options) as client:
                try:
                    told = client.admin.command("hello")
                    client.admin.command("ping")
                    if self._way.has_login:
                        # A login is made with the first command on a connection, whatever the command is.
                        found.answered()
                    else:
                        found.unchecked()
                    self._judge_set(told, found)
                    self._judge_connections(client, found)
                except ServerSelectionTimeoutError as error:
                    raise self._unreached(client, str(error)) from None
        except PyMongoError as error:
            raise self._ended(error) from None

    def _unreached(self, client: "MongoClient[dict[str, Any]]", said: str) -> Ended:
        where = self._way.where
        kinds = {each.server_type_name for each in client.topology_description.server_descriptions().values()}
        if kinds & {"RSSecondary", "RSOther", "RSArbiter", "RSGhost"}:
            return down("no_primary", f"The replica set at {where} has no primary: look at rs.status() and its members' logs.")
        return self._unused(said) or self._no_mongo()

    def _ended(self, error: PyMongoError) -> Ended:
        where = self._way.where
        if isinstance(error, OperationFailure):
            refused = ("refused", f"{{}} answered with the error {error.code}: look it up, and look at its log.")
            code, sentence = _ANSWERS.get(error.code or 0, refused)
            return down(code, sentence.format(where))
        if isinstance(error, NotPrimaryError):
            return down(_UNREADY[0], _UNREADY[1].format(where))
        return self._unused(str(error)) or self._no_mongo()

    def _no_mongo(self) -> Ended:
        return down("protocol", f"What answers at {self._way.where} is no MongoDB that we understand: correct host and port.")

    def _unused(self, said: str) -> Ended | None:
        for words, code, sentence in _UNREACHED:
            if words in said:
                return down(code, sentence.format(self._way.where))
        return Ended(late(self._way.where, self._limit)) if "timed out" in said else None

    def _judge_set(self, told: Mapping[str, Any], found: Findings) -> None:
        name = told.get("setName")
        if name is None:
            found.facts["role"] = "router" if told.get("msg") == "isdbgrid" else "standalone"
            if told.get("isreplicaset"):
                found.add("down", "replica_set", "The replica set was never begun, so it takes no writes: run rs.initiate().")
            return
        leads = bool(told.get("isWritablePrimary") or told.get("ismaster"))
        role = "primary" if leads else "secondary" if told.get("secondary") else "arbiter" if told.get("arbiterOnly") else "other"
        found.facts |= {"replica_set": str(name), "role": role}
        if role == "other":
            found.add("degraded", "replica_set", "It is neither primary nor secondary: look at rs.status() and its log.")
        elif not leads and not told.get("primary"):
            found.add("degraded", "no_primary", "The replica set has no primary: look at rs.status() and its members' logs.")

    def _judge_connections(self, client: "MongoClient[dict[str, Any]]", found: Findings) -> None:
        try:
            status: Mapping[str, Any] = client.admin.command("serverStatus")
            open_, left = int(status["connections"]["current"]), int(status["connections"]["available"])
        except (OperationFailure, KeyError, TypeError, ValueError):
            if self._service.warn is not None or self._service.critical is not None:
                found.note("Connections were not checked: grant clusterMonitor to the login.")
            return
        if version := status.get("version"):
            found.facts["version"] = str(version)
        most = open_ + left
        found.facts |= {"connections": open_, "connections_limit": most}
        if most:
            sentence = f"{open_} of {most} connections are in use: raise net.maxIncomingConnections, or find who holds them."
            found.share("connections", open_ / most * 100, limits_of(self._service), sentence)


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    url, limit = "" if service.url is None else service.url.get_secret_value().strip(), limit_of(service, settings)
    selection = int(max(min(limit * SHARE - EVERY, limit * FINDING), limit / 3) * 1000)
    options: dict[str, Any] = {"appname": "pilothouse probe", "serverSelectionTimeoutMS": selection}
    options |= {"connectTimeoutMS": selection, "socketTimeoutMS": selection, "maxPoolSize": 1, "retryReads": False}
    try:
        if url.startswith("mongodb+srv://"):
            where, alone, has_login = url.rpartition("@")[2].removeprefix("mongodb+srv://").partition("/")[0], None, "@" in url
            encrypted = True
        else:
            parts = parse_uri(url, PORT)
            hosts = [(str(host), int(port or PORT)) for host, port in parts["nodelist"]]
            where = ", ".join(shown(*each) for each in hosts)
            said = parts["options"]
            is_one = len(hosts) == 1 and not hosts[0][0].startswith("/") and said.get("directConnection", True)
            alone, has_login = hosts[0] if is_one else None, bool(parts["username"])
            encrypted = bool(said.get("tls") or said.get("ssl"))
            if is_one:
                options["directConnection"] = True  # else the driver goes to where the members say they are
    except (PyMongoError, ValueError):
        expected = "an address such as mongodb://host:27017/database?authSource=admin, what is special in it written as %40"
        raise ConfigurationInvalid(f"services.{name}.url: expected {expected}.") from None
    if not has_login and service.username and service.password is not None:
        options |= {"username": service.username, "password": service.password.get_secret_value()}
        has_login = True
    ca_file = ca_file_of(service, settings)
    if encrypted and ca_file is not None and "tlsCAFile" not in url:
        options["tlsCAFile"] = str(ca_file)
    return MongoProbe(_Way(url, options, where, alone, has_login), service, limit)
