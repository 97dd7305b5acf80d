"""Whom LDAP connections trust: the same as all others of ours."""

from pathlib import Path

from ldap3 import Connection, Tls

from blocks.tls import tls


class LdapTrust(Tls):
    """Our trust in place of ldap3's own, which knows no addresses in certificates and does not tell what is wrong with one."""

    def __init__(self, host: str, ca_file: Path | None) -> None:
        super().__init__()
        self._host, self._ca_file = host, ca_file
        self.failure: OSError | None = None

    def wrap_socket(self, connection: Connection, do_handshake: bool = False) -> None:
        """See ``Tls.wrap_socket``."""
        try:
            connection.socket = tls(self._ca_file).wrap_socket(connection.socket, server_hostname=self._host)
        except OSError as error:
            self.failure = error
            raise
