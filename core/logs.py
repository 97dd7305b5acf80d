"""Logs as JSON lines on stderr (readable on a terminal), with the ids of request, turn and run, and without secrets.

``structlog.get_logger(__name__).info("event", key=value)`` and every library's standard logging come out alike. Ids are bound
with ``structlog.contextvars``. What people write to a model is never logged at info or above.
"""

import json
import logging
import re
import sys
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

NAMES = "(?:password|secret|authorization|authtoken|api_?key|auth_string|cookie)"
SECRETS = (
    (re.compile(r"(ph[rs]?_[0-9a-z-]{4,})_[\w-]+"), r"\1_***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 ***"),
    (re.compile(r"(://[^\s:/@\"']*):[^\s/@\"']+@"), r"\1:***@"),
    (re.compile(r"(?i)([?&](?:sig|signature|token|access_token|api[-_]?key|key|password|secret)=)[^&\s\"']+"), r"\1***"),
    (re.compile(r"\bsk-[\w-]{8,}"), "sk-***"),
    # A secret's name as a key of a mapping, in JSON or as Python shows it.
    (re.compile(rf"(?i)([\"']\w*{NAMES}[\"']: ?)([\"'])(?:\\+.|(?!\2).)*\2"), r"\1\2***\2"),
    # pydantic quotes the input that it refuses.
    (re.compile(r"input_value=.*?, input_type="), "input_value=***, input_type="),
)
SUSPICIOUS = (
    "ph_",
    "phr_",
    "phs_",
    "bearer",
    "basic",
    "://",
    "?",
    "&",
    "sk-",
    "input_value",
    "password",
    "secret",
    "auth",
    "api",
    "cookie",
)
"""Every text with a secret has one of these somewhere; most lines have none, and need no slower look."""
SECRET_KEY = re.compile(rf"(?i){NAMES}$")
QUIET = ("httpx", "httpcore", "openai", "websockets", "asyncio", "uvicorn.access", "docket", "alembic")
"""Libraries that tell their daily round at info, or what is sent at debug; only their warnings are kept."""
OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "fastapi", "prefect._internal")
"""Loggers that a library gives handlers of its own."""


def configure(level: str = "info", *, stream: TextIO | None = None, terminal: bool | None = None) -> None:
    """Send all logs of this process to ``stream`` (stderr), as text if it is a terminal.

    Call again after importing a library that sets up logging by itself, as Prefect does.
    """
    stream = stream or sys.stderr
    readable = stream.isatty() if terminal is None else terminal
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    # A traceback in colours would show every local variable.
    console = structlog.dev.ConsoleRenderer(timestamp_key="time", exception_formatter=structlog.dev.plain_traceback)
    final: list[Processor] = [
        structlog.processors.format_exc_info,
        hide_named,
        _cleaned(console if readable else json_line),
    ]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    _route(handler, level)


def _route(handler: logging.Handler, level: str) -> None:
    """All standard loggers to one handler."""
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        if name.startswith("uvicorn"):  # Prefect sets a level for them when it is imported
            logger.setLevel(logging.NOTSET)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def hide_named(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """No value under a name such as ``password``."""
    for key in event:
        if SECRET_KEY.search(key):
            event[key] = "***"
    return event


def json_line(_: WrappedLogger, __: str, event: EventDict) -> str:
    """One line of compact JSON: time, level and event first; what is no JSON is told by its ``str``."""
    line = {"time": event.pop("time", None), "level": event.pop("level", None), "event": event.pop("event", None), **event}
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a lone surrogate, or nested too deep
        return json.dumps(line, default=str, skipkeys=True)


def _cleaned(render: Processor) -> Processor:
    """The finished line without secrets, whoever wrote them and however deep they lie."""

    def rendered(logger: WrappedLogger, name: str, event: EventDict) -> str:
        return clean(str(render(logger, name, event)))

    return rendered


def clean(text: str) -> str:
    """The text without tokens, keys and passwords."""
    lowered = text.lower()
    if not any(word in lowered for word in SUSPICIOUS):
        return text
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text
