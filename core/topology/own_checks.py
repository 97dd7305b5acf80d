"""What a service's own healthcheck asks, as far as its words tell; what it sends along may be secret and is not repeated."""

import re
from dataclasses import dataclass

from core.topology.composed import Part
from core.topology.known import Known

_URL = re.compile(r"(https?)://([^\s/\"'@]*@)?([^\s/:\"'\\)]+|\[::1\])(?::([^\s/\"'\\);]+))?(/[^\s\"'\\|;)&>]*)?")
_BARE = re.compile(r"(?:^|[\s\"'])(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?=[:/])")
"""What curl and wget take for an address without its scheme."""
_BY_SHELL = re.compile(r"/dev/tcp/(?:localhost|127\.0\.0\.1)/(\d+).*?\bGET (/\S*) HTTP", re.DOTALL)
_PORT = re.compile(r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0|::1)[\s:/]+(\d{2,5})\b")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)(?::-(\w+))?\}?")
_FORMATTED = re.compile(r"getenv\(\s*['\"](\w+)['\"]\s*(?:,\s*['\"]?(\d+))?|environ(?:\.get\()?\[?['\"](\w+)['\"]")
"""Where Python takes the port of ``http://localhost:%s`` from."""
_SENDS = re.compile(r"(?:^|\s)(-H|--header|-u|--user|-d|--data\S*|--oauth2-bearer|--http-user|--http-password)(?:[\s=]|$)")
_FAILS = re.compile(r"(?:^|\s)(-[A-Za-z]*f[A-Za-z]*|--fail\S*)(?=\s|$)")
_HERE = {"localhost", "127.0.0.1", "0.0.0.0", "[::1]", "$hostname", "${hostname}", "$(hostname)", "`hostname`"}  # noqa: S104
_KINDS = (
    (re.compile(r"\bpg_isready\b|\bpsql\b"), Known("postgres", 5432)),
    (re.compile(r"\b(redis|valkey|keydb)-cli\b"), Known("redis", 6379)),
    (re.compile(r"\b(mysqladmin|mariadb-admin)\b|\bhealthcheck\.sh\b.*--(connect|innodb)|\bmysql\s+-"), Known("mysql", 3306)),
    (re.compile(r"\b(mongosh|mongo)\b\s.*(--eval|--quiet|ping)"), Known("mongo", 27017)),
)


@dataclass(frozen=True, slots=True)
class OwnCheck:
    """``path`` is None where it does not ask over HTTP; ``kind`` is the store whose client it calls."""

    port: int | None = None
    path: str | None = None
    tls: bool = False
    cut: bool = False
    """Whether it sends something that is left out here."""
    any_status: bool = False
    """Whether every answer is good to it."""
    kind: Known | None = None


def own_check(part: Part) -> OwnCheck:
    """What the healthcheck of a service asks of the service itself."""
    text = " ".join(part.healthcheck[1:] if part.healthcheck[:1] in {("CMD",), ("CMD-SHELL",)} else part.healthcheck)
    if re.search(r"\b(curl|wget)\b", text):
        text = _BARE.sub(r" http://\1", text)
    for scheme, login, host, port_text, path_text in _URL.findall(text):
        if host.lower() not in _HERE | part.names:
            continue
        port = _port(part, port_text, text) if port_text else {"http": 80, "https": 443}[scheme]
        path, mark, _ = (path_text or "/").partition("?")
        if port is None or "$" in path:
            continue
        sends = bool(mark or login or _SENDS.search(text))
        return OwnCheck(port, path, scheme == "https", sends, "curl" in text and not _FAILS.search(text))
    if (by_shell := _BY_SHELL.search(text)) is not None and "$" not in by_shell.group(2):
        path, mark, _ = by_shell.group(2).partition("?")
        return OwnCheck(int(by_shell.group(1)), path, cut=bool(mark))
    ports = _PORT.search(text)
    kind = next((kind for pattern, kind in _KINDS if pattern.search(text)), None)
    return OwnCheck(port=int(ports.group(1)) if ports else None, kind=kind)


def _port(part: Part, text: str, whole: str) -> int | None:
    """A port as the healthcheck has it: digits, or a variable of the container."""
    if text.isdigit():
        return int(text)
    if (variable := _VARIABLE.fullmatch(text)) is not None:
        name, default = variable.groups()
    elif text == "%s" and (formatted := _FORMATTED.search(whole)) is not None:
        name, default = formatted.group(1) or formatted.group(3), formatted.group(2)
    else:
        return None
    known = part.environment.get(name)
    value = known.value if known is not None and known.value else default or ""
    return int(value) if value.isdigit() else None
