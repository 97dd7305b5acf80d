"""Logs: one JSON object a line, ids from the context, libraries included, secrets taken out."""

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import BaseModel

from core.logs import clean, configure

TOKEN = "ph_0123456789_" + "Ab-_" * 10


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers, root.level = before, level
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_its_time_level_event_and_the_ids_at_hand(stream: io.StringIO) -> None:
    configure("info", stream=stream)
    with structlog.contextvars.bound_contextvars(request_id="r1", turn_id="t1"):
        structlog.get_logger("x").info("turn answered", chunks=3)
        logging.getLogger("library").warning("slow %s", "answer", extra={"seconds": 2})
    ours, theirs = lines(stream)
    assert list(ours)[:3] == ["time", "level", "event"]
    assert ours["time"].endswith("Z")
    assert {**ours, "time": ""} == {
        "time": "",
        "level": "info",
        "event": "turn answered",
        "request_id": "r1",
        "turn_id": "t1",
        "chunks": 3,
    }
    assert (theirs["event"], theirs["logger"], theirs["seconds"], theirs["request_id"]) == ("slow answer", "library", 2, "r1")


def test_the_level_holds_for_us_and_for_libraries(stream: io.StringIO) -> None:
    configure("warning", stream=stream)
    structlog.get_logger().info("hidden")
    logging.getLogger("library").info("hidden")
    structlog.get_logger().warning("shown")
    assert [line["event"] for line in lines(stream)] == ["shown"]


def test_libraries_that_set_up_logging_themselves_are_brought_back(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn").handlers = [logging.StreamHandler(io.StringIO())]
    logging.getLogger("uvicorn").propagate = False
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    configure("info", stream=stream)
    configure("info", stream=stream)
    logging.getLogger("uvicorn.error").info("Started")
    assert [line["event"] for line in lines(stream)] == ["Started"]


def test_prefect_logs_lines_too() -> None:
    program = (
        "import prefect, logging; from core.logs import configure; configure();"
        "logging.getLogger('prefect.flow_runs').warning('flow says'); logging.getLogger('uvicorn.error').info('up')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert [event for event in events if event in ("flow says", "up")] == ["flow says", "up"]


def test_a_traceback_is_one_line_and_quotes_no_refused_input(stream: io.StringIO) -> None:
    class Form(BaseModel):
        number: int

    configure("info", stream=stream)
    written = " ".join(["what", "a", "person", "wrote"])  # a traceback quotes the source line
    for log in (structlog.get_logger().exception, logging.getLogger("library").exception):
        try:
            Form.model_validate({"number": written})
        except ValueError:
            log("failed")
    ours, theirs = lines(stream)
    for line in (ours, theirs):
        assert "ValidationError" in line["exception"]
        assert "what a person wrote" not in line["exception"]


def test_warnings_become_lines(stream: io.StringIO) -> None:
    configure("info", stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    assert "old way" in lines(stream)[0]["event"]


@pytest.mark.parametrize("terminal", [False, True])
def test_no_secret_gets_through_wherever_it_stands(stream: io.StringIO, terminal: bool) -> None:
    configure("info", stream=stream, terminal=terminal)
    log = structlog.get_logger()
    log.info(f"got {TOKEN}", password="hunter22", nested={"api_key": 'a"hunter22', "list": ["Bearer hunter22"]})
    log.info("calling", url="postgresql://user:hunter22@host/db", hook="https://x/y?a=1&sig=hunter22&b=2")
    logging.getLogger("library").info("Authorization: Bearer %s and %s", "hunter22", {"secret": "a\"b'hunter22"})
    try:
        raise RuntimeError(f"refused {TOKEN}")
    except RuntimeError:
        log.exception("failed")
    text = stream.getvalue()
    assert "hunter22" not in text
    assert TOKEN not in text
    assert "ph_0123456789_***" in text
    assert "b=2" in text


def test_what_is_no_secret_stays() -> None:
    for text in ("GET /chat/sessions 200", "http://host:80/x?limit=5", "the basic idea", "graph_of_things"):
        assert clean(text) == text


def test_what_is_no_json_is_told_all_the_same(stream: io.StringIO) -> None:
    configure("info", stream=stream)
    structlog.get_logger().info("odd", path="\udcff", number=2**70, thing={1: object()})
    assert lines(stream)[0]["event"] == "odd"
