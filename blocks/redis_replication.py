"""Redis' replication, spoken by ourselves: as a replica that takes a snapshot, as a master that gives one. All of it blocks.

So a server is saved and restored without any program, and without reading its keys one by one. The one that restores replicates
from this process for a moment: it has to reach it.
"""

import hmac
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event
from time import monotonic
from typing import Any

import redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from blocks.handover import CHUNK, Abandoned
from blocks.redis_snapshot import Snapshot
from core.backups.errors import DumpFailed, PlaceRefused, PlaceUnavailable, RestoreFailed
from core.backups.place import Stream
from core.errors import PilothouseError

TIMEOUT = 60.0
"""Seconds for one answer."""
SILENCE = 300.0
"""Seconds without a byte of a snapshot. A server says something every second while it prepares one."""
COMES = 20.0
"""Seconds within which a server that restores has to come for its snapshot."""
SETTLES = 15.0
"""Seconds after which one that neither loads nor follows has not taken it."""


class Taken:
    """A server's snapshot as it comes, as a stream; counted on the way."""

    def __init__(self, place: str, reached: socket.socket, snapshot: Snapshot) -> None:
        self._place = place
        self._socket = reached
        self._snapshot = snapshot
        self._held = b""
        self._left: int | None = None
        self._mark = b""
        self._stopped = False
        self._begin()

    def read(self, size: int = CHUNK, /) -> bytes:
        """Empty at its end. Raises ``DumpFailed`` and ``PlaceUnavailable`` when it is not whole."""
        chunk = self._counted(size) if self._left is not None else self._marked()
        self._snapshot.feed(chunk)
        return chunk

    def stop(self) -> None:
        """See ``core.backups.place.Stoppable``."""
        self._stopped = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _begin(self) -> None:
        while not (line := self._line()):
            pass  # it says so that it is still there
        if line.startswith(b"-"):
            raise _refused(self._place, line[1:].decode(errors="replace"))
        if line.startswith(b"$EOF:") and len(line) == 45:
            self._mark = line[5:]
        elif line.startswith(b"$") and line[1:].isdigit():
            self._left = int(line[1:])
        else:
            raise DumpFailed(f"{self._place}: the server answered SYNC with something else than a snapshot.")

    def _line(self) -> bytes:
        while b"\n" not in self._held:
            self._held += self._received(4096)
        line, _, self._held = self._held.partition(b"\n")
        return line.rstrip(b"\r")

    def _counted(self, size: int) -> bytes:
        assert self._left is not None
        if not self._left:
            return b""
        chunk = self._held or self._received(min(CHUNK if size < 0 else size, self._left))
        chunk, self._held = chunk[: self._left], b""
        self._left -= len(chunk)
        return chunk

    def _marked(self) -> bytes:
        """Until the mark, which a chunk may cut in two."""
        if not self._mark:
            return b""
        while True:
            found = self._held.find(self._mark)
            if found >= 0:
                chunk, self._held, self._mark = self._held[:found], b"", b""
                return chunk
            safe = len(self._held) - len(self._mark)
            if safe > 0:
                chunk, self._held = self._held[:safe], self._held[safe:]
                return chunk
            self._held += self._received(CHUNK)

    def _received(self, size: int) -> bytes:
        try:
            chunk = self._socket.recv(size)
        except OSError:
            chunk = b""
        if not chunk:
            if self._stopped:
                raise DumpFailed(f"{self._place}: the dump was broken off.")
            raise PlaceUnavailable(f"{self._place}: the server broke off its snapshot; try again in a moment.", retry_after=30)
        return chunk


@contextmanager
def taking(place: str, client: "redis.Redis", version: str, snapshot: Snapshot) -> Iterator[Taken]:
    """The server's snapshot of now. ``version`` is its own: without hearing one, a Valkey writes for the oldest of replicas."""
    with in_our_words(place):
        connection: Any = client.connection_pool.make_connection()
        try:
            connection.connect()
            for words in (("capa", "eof"), ("version", version), ("rdb-only", "1")):
                connection.send_command("REPLCONF", *words)
                with suppress(ResponseError):  # an old one knows less
                    connection.read_response()
            connection._sock.settimeout(SILENCE)
            connection.send_command("SYNC")
            yield Taken(place, connection._sock, snapshot)
        finally:
            connection.disconnect()


class Giving:
    """Makes a server replicate from here for a moment, so that it loads a snapshot as its own."""

    def __init__(self, place: str, client: "redis.Redis", stopped: Event) -> None:
        self._place = place
        self._client = client
        self._stopped = stopped
        self._token = secrets.token_hex(24)

    def give(self, source: Stream) -> None:
        """Returns when it has loaded all of it and is its own master again. It keeps what it had when anything fails."""
        with in_our_words(self._place), self._listening() as listening:
            before = {name: self._configured(name) for name in ("masterauth", "masteruser", "tls-replication")}
            if before.pop("tls-replication") == "yes":
                raise RestoreFailed(f"{self._place}: it replicates over TLS only; switch tls-replication off while it restores.")
            try:
                self._client.config_set("masterauth", self._token)
                if before["masteruser"]:
                    self._client.config_set("masteruser", "")
                host, port = listening.getsockname()[:2]
                run(self._client, "REPLICAOF", host, str(port))
                self._served(listening, source)
            finally:
                run(self._client, "REPLICAOF", "NO", "ONE")
                for name, value in before.items():
                    self._client.config_set(name, value)

    def _configured(self, name: str) -> str:
        found: dict[str | None, str | None] = self._client.config_get(name)
        return str(found.get(name) or "")

    @contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        """At the address from which this process reaches the server, and nowhere else."""
        connection: Any = self._client.connection_pool.make_connection()
        connection.connect()
        reached: socket.socket = connection._sock
        try:
            host = reached.getsockname()[0] if reached.family in (socket.AF_INET, socket.AF_INET6) else "127.0.0.1"
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
        finally:
            connection.disconnect()
        with socket.create_server((host, 0), family=family) as listening:
            listening.settimeout(0.5)
            yield listening

    def _served(self, listening: socket.socket, source: Stream) -> None:
        until = monotonic() + COMES
        while True:
            try:
                replica, _ = listening.accept()
            except TimeoutError:
                if self._stopped.is_set():
                    raise Abandoned from None
                if monotonic() > until:
                    host, port = listening.getsockname()[:2]
                    raise RestoreFailed(
                        f"{self._place}: to restore, the server fetches the snapshot from this machine, and did not reach it at "
                        f"{host}:{port}: run Pilothouse where the server can connect to it."
                    ) from None
                continue
            with replica:
                replica.settimeout(TIMEOUT)
                if self._greeted(replica):
                    self._sent(replica, source)
                    return

    def _greeted(self, replica: socket.socket) -> bool:
        """Whether it is the one that was told the token, and asks for a snapshot."""
        known = False
        with replica.makefile("rb") as lines, suppress(OSError, ValueError):
            while words := _command(lines):
                name = words[0].upper()
                if name == b"AUTH":
                    known = hmac.compare_digest(words[-1], self._token.encode())
                    replica.sendall(b"+OK\r\n" if known else b"-WRONGPASS no\r\n")
                elif name == b"PING":
                    replica.sendall(b"+PONG\r\n" if known else b"-NOAUTH Authentication required.\r\n")
                elif not known:
                    return False
                elif name in (b"PSYNC", b"SYNC"):
                    if name == b"PSYNC":
                        replica.sendall(f"+FULLRESYNC {secrets.token_hex(20)} 0\r\n".encode())
                    return True
                else:
                    replica.sendall(b"+OK\r\n")
        return False

    def _sent(self, replica: socket.socket, source: Stream) -> None:
        mark = secrets.token_hex(20).encode()
        try:
            replica.sendall(b"$EOF:" + mark + b"\r\n")
            while chunk := source.read(CHUNK):
                if self._stopped.is_set():
                    raise Abandoned
                replica.sendall(chunk)
            replica.sendall(mark)
            self._followed(replica)
        except OSError:
            raise RestoreFailed(
                f"{self._place}: the server did not take the snapshot; has it the disk and memory for it?"
            ) from None

    def _followed(self, replica: socket.socket) -> None:
        """Returns when it has loaded the snapshot and follows; the connection is what it follows."""
        last = monotonic()
        while not self._stopped.is_set():
            told: dict[str, Any] = self._client.info()
            if told.get("role") == "slave" and told.get("master_link_status") == "up":
                return
            if told.get("loading") or told.get("async_loading") or told.get("master_sync_in_progress"):
                last = monotonic()
            if monotonic() - last > SETTLES:
                raise RestoreFailed(f"{self._place}: the server did not load the snapshot; is it older than the one it is of?")
            self._stopped.wait(0.1)
        raise Abandoned


def _command(lines: Any) -> list[bytes]:
    """The next command of a replica, in RESP or as a plain line."""
    first = lines.readline(4096).strip()
    if not first.startswith(b"*"):
        return list(first.split())
    words = []
    for _ in range(min(int(first[1:]), 64)):
        size = int(lines.readline(64).strip()[1:])
        words.append(lines.read(min(size, 65_536)))
        lines.readline(4)
    return words


def run(client: "redis.Redis", *words: str | bytes) -> object:
    """The answer to a command for which the client has no method of its own."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


@contextmanager
def in_our_words(place: str) -> Iterator[None]:
    """Raises ``PlaceRefused``, ``PlaceUnavailable`` or ``DumpFailed`` in place of the client's errors."""
    try:
        yield
    except AuthenticationError:
        raise PlaceRefused(f"{place}: the server refused the login; correct user and password in its url.") from None
    except NoPermissionError as error:
        raise _refused(place, str(error)) from None
    except (redis.ConnectionError, redis.TimeoutError):
        raise PlaceUnavailable(
            f"{place}: the server does not answer; is it running, and is the address right?", retry_after=30
        ) from None
    except RedisError as error:
        raise _refused(place, str(error)) from None


def _refused(place: str, said: str) -> PilothouseError:
    plain = said[:200]
    if plain.startswith(("LOADING", "BUSY", "NOMASTERLINK", "MASTERDOWN", "TRYAGAIN")):
        return PlaceUnavailable(f"{place}: the server is not ready ({plain}).", retry_after=30)
    if plain.startswith(("NOAUTH", "WRONGPASS", "ERR invalid password")):
        return PlaceRefused(f"{place}: the server refused the login; correct user and password in its url.")
    return PlaceRefused(f"{place}: the server refused ({plain}); its user needs the rights that docs/backups.md names.")
