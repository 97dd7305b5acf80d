"""Whom outbound TLS connections trust."""

import ssl
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

import certifi
import httpx

_BUNDLES: list[IO[bytes]] = []


@cache
def tls(ca_file: Path | None) -> ssl.SSLContext:
    """The trust of outbound connections: certifi's, the system's and ``ca_file``. Making one takes some 40 ms."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


@cache
def trusted_file(ca_file: Path | None) -> str:
    """The same as one file, for libraries that take nothing else; it is gone when the process ends."""
    files = [certifi.where(), ssl.get_default_verify_paths().cafile, ca_file]
    if ca_file is None and files[1] is None:
        return certifi.where()
    bundle = tempfile.NamedTemporaryFile(prefix="pilothouse-ca-", suffix=".pem")  # noqa: SIM115
    bundle.write(b"\n".join(Path(file).read_bytes() for file in files if file))
    bundle.flush()
    _BUNDLES.append(bundle)
    return bundle.name
