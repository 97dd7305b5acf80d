"""Statuses, headers and bodies of real servers, as our errors."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest

from blocks.openai_errors import QUOTED, Redactor, from_event, from_status, retry_after
from core.errors import ContextExceeded, ProviderFailed, ProviderUnavailable, RequestRefused

KEY = "sk-live-abcdef123456"
NOTHING = Redactor(KEY)


def message_of(body: object, status: int = 400, redactor: Redactor = NOTHING) -> str:
    return from_status("P", status, {"content-type": "application/json"}, orjson.dumps(body), redactor).message


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "bad thing", "code": "x"}},
        {"error": "bad thing"},
        {"message": "bad thing", "object": "error"},
        {"detail": "bad thing"},
        [{"error": {"message": "bad thing"}}],
    ],
)
def test_the_words_of_every_shape_are_found(body: object) -> None:
    assert message_of(body).endswith("It said: bad thing")


def test_a_validator_is_quoted_without_its_input() -> None:
    body = {"detail": [{"loc": ["body", "temperature"], "msg": "too large", "input": {"messages": ["secret"]}}]}
    assert message_of(body, 422).endswith("It said: body.temperature: too large")
    repeated = {"message": "1 validation error: {'type': 'missing', 'loc': ('body',), 'input': {'messages': 'secret'}}"}
    assert "secret" not in message_of(repeated)


def test_keys_and_questions_are_taken_out_and_the_rest_is_cut() -> None:
    asked = Redactor(KEY, [{"role": "user", "content": "my  salary is 4711 a month"}])
    said = message_of({"message": f"key {KEY} and sk-other-999999 in: my salary is 4711 a month"}, redactor=asked)
    assert KEY not in said
    assert "999999" not in said
    assert "4711" not in said
    parts = Redactor(KEY, [{"role": "user", "content": [{"type": "text", "text": "my salary is 4711 a month"}]}])
    assert "4711" not in message_of({"message": "got my salary is 4711 a month"}, redactor=parts)
    assert len(message_of({"message": "x" * 5000})) < QUOTED + 60


def test_web_pages_are_not_quoted() -> None:
    error = from_status("P", 502, {"content-type": "text/html"}, b"<html>Bad Gateway</html>", NOTHING)
    assert (error.message, error.permanent) == ("P failed (502).", False)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "too long", "code": "context_length_exceeded"}},
        {"error": {"message": "the request exceeds the available context size", "type": "exceed_context_size_error"}},
        {"object": "error", "message": "This model's maximum context length is 4096 tokens"},
    ],
)
def test_too_many_tokens_have_their_own_error(body: object) -> None:
    assert isinstance(from_status("P", 400, {}, orjson.dumps(body), NOTHING), ContextExceeded)


def test_an_account_without_credit_is_permanent_and_a_rate_limit_is_not() -> None:
    spent = orjson.dumps({"error": {"message": "quota", "code": "insufficient_quota"}})
    assert isinstance(from_status("P", 429, {}, spent, NOTHING), ProviderFailed)
    assert isinstance(from_status("P", 429, {}, b"", NOTHING), ProviderUnavailable)


def test_errors_in_a_stream() -> None:
    assert isinstance(from_event("P", {"message": "bad", "code": 400}, NOTHING), ProviderFailed)
    for passing in ({"message": "bad", "code": "server_error"}, "bad", None, {"code": 529}):
        assert isinstance(from_event("P", passing, NOTHING), ProviderUnavailable)


def test_retry_after_in_every_form() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=30), usegmt=True)
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "1.5", "retry-after-ms": "250"}) == 0.25
    assert 25 < (retry_after({"retry-after": soon}) or 0) <= 30
    assert retry_after({"retry-after": past}) == 0
    for nonsense in ({}, {"retry-after": "soon"}, {"retry-after": "nan"}, {"retry-after": "inf"}, {"retry-after": ""}):
        assert retry_after(nonsense) is None
    assert retry_after({"retry-after": "-3"}) == 0


def test_a_wrong_request_is_told_from_a_wrong_key() -> None:
    def kind(message: str, status: int = 400) -> type[Exception]:
        return type(from_status("P", status, {}, orjson.dumps({"error": {"message": message}}), NOTHING))

    assert kind("Invalid 'tools'") is kind("temperature: too large", 422) is RequestRefused
    assert kind("API key not valid. Please pass a valid API key.") is kind("no access", 403) is ProviderFailed


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "registry.ollama.ai/library/gemma:2b does not support tools"),
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        (404, "No endpoints found that support tool use."),
        (500, "tools param requires --jinja flag"),
        (501, "function calling is not implemented"),
    ],
)
def test_a_refusal_of_tools_is_one_whatever_its_status(status: int, words: str) -> None:
    body = orjson.dumps({"error": {"message": words}})
    assert isinstance(from_status("P", status, {}, body, NOTHING, of_tools=True), RequestRefused)
    if status >= 500:
        assert isinstance(from_status("P", status, {}, body, NOTHING), ProviderUnavailable)


@pytest.mark.parametrize(("status", "words"), [(429, "too many tools today"), (500, "out of memory"), (503, "overloaded")])
def test_other_failures_of_requests_with_tools_are_what_they_are(status: int, words: str) -> None:
    body = orjson.dumps({"error": {"message": words}})
    assert isinstance(from_status("P", status, {}, body, NOTHING, of_tools=True), ProviderUnavailable)
