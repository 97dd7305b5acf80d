"""What a provider's failures become: permanent or not, with a message that says what to do and gives nothing away."""

import time
from typing import Any

import pytest

from core.answers import Answer
from core.conversation import ModelRequest
from core.errors import PilothouseError, ProviderFailed, ProviderUnavailable
from tests.blocks.conftest import ProviderOf
from tests.upstream import KEY, FakeUpstream
from tests.upstream.behaviours import text_of
from tests.waiting import eventually

SECRET_TEXT = "the launch code is 7214-alpha-delta"


async def failure(provider_of: ProviderOf, upstream: FakeUpstream, model: str, **settings: Any) -> tuple[PilothouseError, Answer]:
    """How the call failed, and what came before that."""
    answer, question = Answer(), [{"role": "user", "content": SECRET_TEXT}]
    try:
        async for chunk in provider_of(upstream, **settings).stream(ModelRequest(model, question)):
            answer.feed(chunk)
    except PilothouseError as error:
        return error, answer
    pytest.fail(f"{model} answered")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("refuse-400", "refused the request"),
        ("refuse-401", "check api_key"),
        ("refuse-403", "check what its api_key may use"),
        ("refuse-404", "check the model's name"),
        ("no-such-model", "check the model's name"),
        ("refuse-422", "refused"),
        ("html", "a web page"),
    ],
)
async def test_permanent_failures_say_what_to_check(
    upstream: FakeUpstream, provider_of: ProviderOf, model: str, says: str
) -> None:
    error, _ = await failure(provider_of, upstream, model)
    assert isinstance(error, ProviderFailed)
    assert error.permanent
    assert says in error.message
    assert '"fake"' in error.message
    assert len(upstream.chats) == 1


@pytest.mark.parametrize("model", ["refuse-408", "refuse-409", "refuse-425", "refuse-429", "fail-500", "fail-502", "refuse-503"])
async def test_passing_failures_are_worth_another_try(upstream: FakeUpstream, provider_of: ProviderOf, model: str) -> None:
    error, _ = await failure(provider_of, upstream, model)
    assert isinstance(error, ProviderUnavailable)
    assert not error.permanent
    assert error.retry_after == (1.0 if model in {"refuse-429", "refuse-503"} else None)
    assert len(upstream.chats) == 1, "retries are the turn's affair"


async def test_after_its_failures_it_answers(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    provider = provider_of(upstream)
    request = ModelRequest("refuse-429-2", [{"role": "user", "content": "x"}])
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            await anext(provider.stream(request))
    assert [chunk async for chunk in provider.stream(request)]


@pytest.mark.parametrize(
    ("model", "before", "says"),
    [
        ("garbage", 0, "no chat completion chunk"),
        ("garbage-after-3", 3, "no chat completion chunk"),
        ("no-finish", 5, "ended its answer early"),
        ("cut-after-0", 0, "broke the connection off"),
        ("cut-after-4", 4, "broke the connection off"),
        ("error-in-stream", 0, "out of memory"),
        ("error-in-stream-2", 2, "out of memory"),
    ],
)
async def test_a_broken_answer_keeps_what_came_before(
    upstream: FakeUpstream, provider_of: ProviderOf, model: str, before: int, says: str
) -> None:
    error, answer = await failure(provider_of, upstream, model)
    assert isinstance(error, ProviderUnavailable)
    assert says in error.message
    assert answer.text == text_of(before)
    assert not upstream.disconnects or model.startswith("garbage")


@pytest.mark.parametrize("model", ["stall-headers", "stall-before"])
async def test_no_first_token_in_time(upstream: FakeUpstream, provider_of: ProviderOf, model: str) -> None:
    """Neither headers, nor a role, nor comments put the deadline off."""
    begun = time.monotonic()
    error, answer = await failure(provider_of, upstream, model, first_token_timeout=0.3)
    assert isinstance(error, ProviderUnavailable)
    assert 0.25 < time.monotonic() - begun < 20
    assert answer.text == ""


async def test_a_stall_between_tokens(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    begun = time.monotonic()
    error, answer = await failure(provider_of, upstream, "stall-after-3", stall_timeout=0.3)
    assert isinstance(error, ProviderUnavailable)
    assert "stalled in the middle" in error.message
    assert 0.25 < time.monotonic() - begun < 20
    assert answer.text == text_of(3)


async def test_a_slow_reader_is_not_a_stall(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    """The time that a consumer takes does not count against the model."""
    provider, words = provider_of(upstream, first_token_timeout=0.2, stall_timeout=0.2), 0
    async for _ in provider.stream(ModelRequest("slow-5", [{"role": "user", "content": "x"}])):
        words += 1
        if words == 3:
            busy_until = time.monotonic() + 0.5
            await eventually(lambda: time.monotonic() > busy_until, what="the reader has taken its time")  # noqa: B023
    assert words > 20


async def test_nobody_there(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    await upstream.go_away()
    error, _ = await failure(provider_of, upstream, "plain")
    assert isinstance(error, ProviderUnavailable)
    assert f"127.0.0.1:{upstream.port}" in error.message
    assert "is it running" in error.message


async def test_a_connection_closed_under_the_request_is_tried_once_more(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    request = ModelRequest("hang-up-1", [{"role": "user", "content": "x"}])
    assert [chunk async for chunk in provider_of(upstream).stream(request)]
    error, _ = await failure(provider_of, upstream, "hang-up")
    assert isinstance(error, ProviderUnavailable)
    assert "before it answered" in error.message
    assert upstream.counts == {"hang-up-1": 2, "hang-up": 2}


async def test_a_server_that_comes_back_is_used_again(upstream: FakeUpstream, provider_of: ProviderOf) -> None:
    provider, request = provider_of(upstream), ModelRequest("plain", [{"role": "user", "content": "x"}])
    assert [chunk async for chunk in provider.stream(request)]
    await upstream.go_away()
    await upstream.come_back()
    assert [chunk async for chunk in provider.stream(request)]


@pytest.mark.parametrize("model", ["refuse-400", "refuse-401", "repeats", "garbage-after-3", "fail-500"])
async def test_neither_the_key_nor_the_question_is_in_an_error(
    upstream: FakeUpstream, provider_of: ProviderOf, caplog: pytest.LogCaptureFixture, model: str
) -> None:
    caplog.set_level("DEBUG")
    error, _ = await failure(provider_of, upstream, model)
    chain: BaseException | None = error
    while chain is not None:
        assert KEY not in str(chain)
        assert "7214" not in str(chain)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    assert KEY not in caplog.text
    assert "7214" not in caplog.text
