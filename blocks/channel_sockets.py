"""The sockets of a request of ``requests``, so that another thread can end one: its timeouts begin anew with each byte."""

import socket
from typing import Any

from requests.adapters import HTTPAdapter


class _Noting(HTTPAdapter):
    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        super().__init__()

    def get_connection_with_tls_context(self, *given: Any, **named: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*given, **named)
        sockets, kind = self._sockets, pool.ConnectionCls

        class Connection(kind):  # type: ignore[misc, valid-type]
            def connect(self) -> None:
                super().connect()
                sockets.append(self.sock)

        pool.ConnectionCls = Connection
        return pool


def noting(sockets: list[socket.socket]) -> HTTPAdapter:
    """An adapter that adds each of its connections to ``sockets``."""
    return _Noting(sockets)
