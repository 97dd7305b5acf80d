"""MySQL and MariaDB: a login and a trivial query, then what the server tells of its connections, queries and replication."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from pymysql import err
from pymysql.connections import Connection
from pymysql.cursors import DictCursor

from blocks.mysql_session import Place
from blocks.own_thread import in_own_thread
from blocks.probes.findings import Ended, Findings, down, limits_of, looked
from blocks.probes.names import shown
from blocks.probes.observing import ca_file_of, failed, late, limit_of
from core.addresses import MYSQL_SSL_MODES
from core.errors import ConfigurationInvalid
from core.settings import Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

_NO_CREDENTIAL = 1045, 1698, 1251
_CONNECTIONS = "{} has no connection left: raise max_connections, or find who holds them (SHOW PROCESSLIST)."
_REFUSALS: Mapping[int, tuple[str, str]] = {
    1040: ("connections", _CONNECTIONS),
    1203: ("connections", "The login has no connection left at {}: raise its max_user_connections."),
    1226: ("connections", "The login has used up what it may at {} in an hour: raise its limits."),
    1045: ("login", "{} refused the login: correct username and password."),
    1698: ("login", "{} refused the login: correct username and password."),
    1251: ("login", "{} refused the login: the user's authentication plugin is not one that we speak."),
    1820: ("login", "{} wants a new password for this login: set one there."),
    1862: ("login", "{} wants a new password for this login: set one there."),
    3118: ("login", "{} has locked this login: unlock it there."),
    1130: ("login", "{} lets no user of this machine in: create the user for its address."),
    1129: ("blocked", "{} has blocked this machine after too many failed connections: run FLUSH HOSTS there."),
    1049: ("database", "{} has no such database: correct the end of the url, or create it."),
    1044: ("database", "{} lets this login not into the database: correct the end of the url, or grant the right."),
    1053: ("stopping", "{} is shutting down."),
    2026: ("tls", "{} does not encrypt connections as ssl-mode in the url asks for."),
    3159: ("tls", "{} takes encrypted connections only: add ?ssl-mode=REQUIRED to the url."),
}
_PROCESSES = re.compile(r"\b(PROCESS|ALL PRIVILEGES)\b.* ON \*\.\*", re.IGNORECASE)
_IDLE = frozenset({"Sleep", "Daemon", "Binlog Dump", "Binlog Dump GTID", "Slave_IO", "Slave_SQL", "Slave_worker", "Connect"})


_CONTEXTS: dict[tuple[object, ...], ssl.SSLContext] = {}
_MAKING = Lock()


@dataclass(frozen=True, slots=True)
class _Way:
    arguments: Mapping[str, Any]
    where: str
    encrypted: bool


if TYPE_CHECKING:
    Session = Connection[DictCursor]
else:
    Session = Connection


class _Quick(Session):
    """Makes each TLS context once, and again when its file changes: that takes longer than all the rest of a look."""

    def _create_ssl_ctx(self, sslp: dict[str, Any]) -> ssl.SSLContext:
        changed = Path(ca).stat().st_mtime_ns if (ca := sslp.get("ca")) else 0
        key = (changed, *sorted(sslp.items()))
        with _MAKING:
            if key not in _CONTEXTS:
                _CONTEXTS[key] = super()._create_ssl_ctx(sslp)  # type: ignore[misc]
            return _CONTEXTS[key]


class MySQLProbe:
    """Logs in where there is a user; else as nobody, which the server refuses in its own way."""

    def __init__(self, way: _Way, service: ServiceSettings, limit: float) -> None:
        self._way = way
        self._service = service
        self._limit = limit

    async def look(self) -> Observation:
        """See ``Probe.look``."""

        async def asked(found: Findings) -> None:
            await in_own_thread(partial(self._asked, found), "mysql-probe")

        return await looked(self._way.where, self._limit, self._service.slow, asked)

    def _asked(self, found: Findings) -> None:
        connection = self._connected(found)
        if connection is None:
            return
        try:
            if not self._way.arguments["user"]:
                found.unchecked()
                return
            try:
                _rows(connection, "SELECT 1")
            except err.MySQLError as error:
                raise down("query", f"{self._way.where} took the login, but not a query ({_number(error)}).") from None
            found.answered()
            self._judge(connection, found)
        except err.MySQLError as error:
            raise self._ended(error) from None
        finally:
            connection._force_close()  # type: ignore[attr-defined]  # no farewell: it might not be heard

    def _connected(self, found: Findings) -> Session | None:
        """None where no more can be known without a credential."""
        limits = {"connect_timeout": self._limit, "read_timeout": self._limit, "write_timeout": self._limit}
        arguments: dict[str, Any] = {**self._way.arguments, **limits, "autocommit": True, "program_name": "pilothouse probe"}
        try:
            connection = _Quick(**arguments, cursorclass=DictCursor)
        except (err.MySQLError, RuntimeError, OSError) as error:
            if _number(error) in _NO_CREDENTIAL and not self._way.arguments["password"]:
                found.unchecked()
                return None
            raise self._ended(error) from None
        if self._way.encrypted and not getattr(connection, "_secure", False):
            connection.close()
            raise self._ended(err.OperationalError(2026))
        return connection

    def _ended(self, error: BaseException) -> Ended:
        number, where = _number(error), self._way.where
        cause = getattr(error, "original_exception", error)
        if number in _REFUSALS:
            code, sentence = _REFUSALS[number]
            return down(code, sentence.format(where))
        if isinstance(cause, OSError):
            return Ended(failed(cause, where))
        if "timed out" in str(error):
            return Ended(late(where, self._limit))
        if number in {2006, 2013, 1152, 1158, 1159}:
            return Ended(failed(ConnectionResetError(), where))
        if not number or isinstance(error, err.InternalError):
            return down("protocol", f"What answers at {where} is no MySQL that we understand: correct host and port.")
        return down("refused", f"{where} answered with the error {number}: look it up, and look at its log.")

    def _judge(self, connection: Session, found: Findings) -> None:
        status, variables = _pairs(connection, "STATUS", "Threads_connected"), _pairs(connection, "VARIABLES", "max_connections")
        used, most = int(status.get("threads_connected", 0)), max(1, int(variables.get("max_connections", 1)))
        version = _pairs(connection, "VARIABLES", "version").get("version", "")
        found.facts |= {"version": version, "connections": used, "connections_limit": most}
        sentence = f"{used} of {most} connections are in use: raise max_connections, or find who holds them (SHOW PROCESSLIST)."
        found.share("connections", used / most * 100, limits_of(self._service), sentence)
        self._judge_queries(connection, found)
        self._judge_replication(connection, found)

    def _judge_queries(self, connection: Session, found: Findings) -> None:
        grants = [str(grant) for row in _allowed(connection, "SHOW GRANTS") for grant in row.values()]
        longest_allowed = self._service.longest_query
        if not any(map(_PROCESSES.search, grants)):
            if longest_allowed is not None:
                found.note("Queries of others were not checked: grant PROCESS to the login.")
            return
        own = connection.thread_id()  # type: ignore[no-untyped-call]
        seconds = [
            float(row["Time"] or 0)
            for row in _allowed(connection, "SHOW PROCESSLIST")
            if row["Command"] not in _IDLE and row["Id"] != own and row["User"] not in {"system user", "event_scheduler"}
        ]
        longest = max(seconds, default=0.0)
        found.facts["longest_query_seconds"] = round(longest, 1)
        if longest_allowed is not None and longest > longest_allowed:
            sentence = f"A query runs for {longest:.0f} s, more than {longest_allowed:g} s (see SHOW PROCESSLIST)."
            found.add("degraded", "query", sentence)

    def _judge_replication(self, connection: Session, found: Findings) -> None:
        rows = _allowed(connection, "SHOW REPLICA STATUS", "SHOW SLAVE STATUS")
        found.facts["role"] = "replica" if rows else "source"
        for row in rows:
            told = {key.replace("Slave", "Replica").replace("Master", "Source"): value for key, value in row.items()}
            stopped = [each for each in ("IO", "SQL") if told.get(f"Replica_{each}_Running") != "Yes"]
            if stopped:
                numbers = [str(told[key]) for key in ("Last_IO_Errno", "Last_SQL_Errno") if told.get(key)]
                why = f" (error {', '.join(numbers)})" if numbers else ""
                threads = " and ".join(stopped)
                found.add(
                    "degraded", "replication", f"The replica's {threads} thread stands still{why}: see SHOW REPLICA STATUS."
                )
            seconds = told.get("Seconds_Behind_Source")
            if seconds is None:
                continue
            found.facts["lag_seconds"] = max(float(seconds), float(found.facts.get("lag_seconds", 0)))
            if self._service.lag is not None and float(seconds) > self._service.lag:
                found.add("degraded", "lag", f"The replica is {seconds} s behind, more than {self._service.lag:g} s.")


def _rows(connection: Session, text: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return [dict(row) for row in cursor.fetchall()]


def _allowed(connection: Session, *texts: str) -> list[dict[str, Any]]:
    """The rows of the first statement that the server knows and the login may use; none where there is no such."""
    for text in texts:
        try:
            return _rows(connection, text)
        except (err.ProgrammingError, err.OperationalError, err.InternalError) as error:
            if not 1000 <= _number(error) < 2000:
                raise
    return []


def _pairs(connection: Session, what: str, name: str) -> dict[str, str]:
    rows = _allowed(connection, f"SHOW GLOBAL {what} LIKE '{name}'")
    return {str(row["Variable_name"]).lower(): str(row["Value"]) for row in rows}


def _number(error: BaseException) -> int:
    number = error.args[0] if error.args else 0
    return number if isinstance(number, int) else 0


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    url = "" if service.url is None else service.url.get_secret_value().strip()
    try:
        parts = urlsplit(url)
        scheme, port = parts.scheme.partition("+")[0], parts.port or 3306
    except ValueError:
        scheme, port = "", 0
    query = {key.lower().replace("_", "-"): value.upper().replace("-", "_") for key, value in parse_qsl(urlsplit(url).query)}
    mode = query.get("ssl-mode", query.get("sslmode", "PREFERRED"))
    if scheme not in {"mysql", "mariadb"} or not parts.hostname or mode not in MYSQL_SSL_MODES:
        expected = f"an address such as mysql://host:3306/database, with ssl-mode one of {', '.join(MYSQL_SSL_MODES)}"
        raise ConfigurationInvalid(f"services.{name}.url: expected {expected}.")
    plain = f"mysql://{parts.netloc}/{quote(parts.path.strip('/'), safe='%')}?ssl-mode={mode}"
    arguments = dict(Place.of(plain, ca_file_of(service, settings)).arguments)
    arguments["user"] = arguments["user"] or service.username or ""
    if not arguments["password"] and service.password is not None:
        arguments["password"] = service.password.get_secret_value().encode()
    encrypted = mode in {"REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"}
    way = _Way(arguments, shown(parts.hostname, port), encrypted)
    return MySQLProbe(way, service, limit_of(service, settings))
