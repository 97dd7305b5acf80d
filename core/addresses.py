"""Addresses as people write them, turned into the one form the code uses, and shown without their passwords.

Every function here is pure. A bad address raises ``ValueError`` that says what was expected and never repeats the address,
since it may hold a password.
"""

from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

MASK = "********"
_PRISMA_ONLY = {"schema", "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout", "statement_cache_size", "sslaccept"}
MYSQL_SSL_MODES = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
_SECRET_PARAMETERS = ("password", "token", "secret", "key", "sig")


def _split(url: str, schemes: tuple[str, ...], expected: str) -> SplitResult:
    message = f"expected {expected}"
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError as error:
        raise ValueError(message) from error
    if parts.scheme not in schemes:
        raise ValueError(message)
    return parts


def http_url(url: str) -> str:
    """An ``http(s)://host…`` address without a trailing slash."""
    parts = _split(url, ("http", "https"), "an address such as https://host:port/path")
    if not parts.hostname:
        raise ValueError("expected an address such as https://host:port/path")
    return urlunsplit(parts).rstrip("/")


def postgres_url(url: str) -> str:
    """``postgresql://…`` as libpq takes it: driver suffixes and the parameters that only Prisma knows are dropped."""
    schemes = ("postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg", "postgresql+psycopg2")
    parts = _split(url, schemes, "an address such as postgresql://user:password@host:5432/database")
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in _PRISMA_ONLY]
    if not parts.path.strip("/"):
        raise ValueError("expected a database name at the end, as in postgresql://user:password@host:5432/database")
    # Not urlunsplit: it would drop the empty host of a socket address (postgresql://user@/name?host=/run).
    return f"postgresql://{parts.netloc}{parts.path}" + (f"?{urlencode(query, safe='/')}" if query else "")


def mysql_url(url: str) -> str:
    """``mysql://…``; ``mariadb://`` and driver suffixes mean the same."""
    expected = "an address such as mysql://user:password@host:3306/database"
    parts = _split(url, ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"), expected)
    if not (parts.hostname and parts.path.strip("/")):
        raise ValueError(f"expected {expected}")
    mode = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not (mode.keys() <= {"ssl-mode"} and mode.get("ssl-mode", "PREFERRED").upper() in MYSQL_SSL_MODES):
        raise ValueError(f"expected no parameter but ssl-mode, one of {', '.join(MYSQL_SSL_MODES)}")
    return f"mysql://{parts.netloc}{parts.path}" + (f"?ssl-mode={mode['ssl-mode'].upper()}" if mode else "")


def database_url(url: str) -> str:
    """``postgresql://…`` or ``mysql://…``, in the form of the function for either."""
    scheme = url.strip().partition(":")[0]
    if scheme.startswith(("mysql", "mariadb")):
        return mysql_url(url)
    if scheme.startswith("postgres"):
        return postgres_url(url)
    raise ValueError("expected an address such as postgresql://user:password@host:5432/database or mysql://…")


def prefect_database_url(url: str) -> str:
    """The form that Prefect's server takes: asyncpg for PostgreSQL; SQLite stays as it is."""
    if url.startswith("sqlite+aiosqlite://"):
        return url
    return postgres_url(url).replace("postgresql://", "postgresql+asyncpg://", 1)


def redis_url(url: str) -> str:
    """``redis://``, ``rediss://`` or ``unix://``; ``valkey://`` means the same as ``redis://``."""
    plain = url.strip()
    for other, ours in (("valkey://", "redis://"), ("valkeys://", "rediss://")):
        if plain.startswith(other):
            plain = ours + plain.removeprefix(other)
    parts = _split(plain, ("redis", "rediss", "unix"), "an address such as redis://:password@host:6379/0")
    if not (parts.hostname or (parts.scheme == "unix" and parts.path)):
        raise ValueError("expected an address such as redis://:password@host:6379/0")
    return plain


def redis_url_of(host: str, port: str | None, password: str | None) -> str:
    """One address from ``REDIS_HOST``, ``REDIS_PORT`` and ``REDIS_PASSWORD``."""
    login = f":{quote(password, safe='')}@" if password else ""
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"redis://{login}{name}:{port or 6379}/0"


def ollama_url(host: str) -> str:
    """``OLLAMA_HOST`` by Ollama's own rules (scheme and port optional), with the ``/v1`` of its OpenAI-compatible API."""
    bare = "://" not in host
    parts = _split(f"http://{host.strip()}" if bare else host, ("http", "https"), "a host such as localhost:11434")
    # A server is told 0.0.0.0 to listen everywhere; a client on the same machine means loopback.
    name = "127.0.0.1" if parts.hostname in (None, "0.0.0.0", "::") else str(parts.hostname)  # noqa: S104
    port = parts.port or (11434 if bare else None)
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    authority = f"{login}[{name}]" if ":" in name else f"{login}{name}"
    path = parts.path.rstrip("/").removesuffix("/v1")
    return f"{parts.scheme}://{authority}{f':{port}' if port else ''}{path}/v1"


def reachable_host(host: str) -> str:
    """The host by which this machine reaches what listens on ``host``, with brackets where a URL needs them."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"[{name}]" if ":" in name else name


def is_loopback(host: str) -> bool:
    """Whether connections to this host stay on the machine; such go past any proxy."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def masked(address: str) -> str:
    """The address with its password and every parameter that looks like a secret replaced."""
    if "://" not in address:
        return address
    try:
        parts = urlsplit(address)
    except ValueError:
        return MASK
    login, at, host = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    query = [
        (name, MASK if any(word in name.lower() for word in _SECRET_PARAMETERS) else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    shown = f"{user}{colon}{MASK if colon else ''}{at}{host}"
    return f"{parts.scheme}://{shown}{parts.path}" + (f"?{urlencode(query, safe='*/')}" if query else "")


def place(address: str) -> str:
    """Host, port and path only, for a status line: ``host:5432/database``."""
    parts = urlsplit(address)
    return f"{parts.netloc.rpartition('@')[2]}{unquote(parts.path)}"
