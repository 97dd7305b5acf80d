"""One provider's official SDK client in one event loop: kept connections, our trust and proxies, no retries of its own."""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import aiohttp
import httpx
import openai
import orjson
from openai import AsyncAzureOpenAI, AsyncOpenAI

from blocks.model_lists import Entry, entries_of
from blocks.openai_errors import Redactor, from_status
from blocks.tls import tls
from core.addresses import is_loopback
from core.conversation import ModelRequest
from core.errors import InputInvalid, ProviderFailed, ProviderUnavailable

LIMITS = httpx.Limits(max_connections=2000, keepalive_expiry=30)
HUNG_UP = (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError)
LIST_TIMEOUT = 5.0
"""Seconds for a provider's list of models."""
JSON: dict[str, str | openai.Omit] = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}


class Client:
    """Opens completions and reads the list of models; the SDK's errors become ours."""

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        api_key: str,
        kind: Literal["openai", "azure"],
        api_version: str | None,
        connect_timeout: float,
        stream_usage: bool,
        ca_file: Path | None,
    ) -> None:
        self._name = name
        self._url = httpx.URL(base_url)
        self._key = api_key
        self._azure = kind == "azure"
        self._headers: dict[str, str | openai.Omit] = {} if api_key else {"Authorization": openai.Omit()}
        self._stream_usage = stream_usage
        timeout = httpx.Timeout(None, connect=connect_timeout)
        for noisy in ("openai", "httpx", "httpcore"):  # at debug level they log what is asked
            logging.getLogger(noisy).setLevel(logging.WARNING)
        http = openai.DefaultAioHttpClient(
            verify=tls(ca_file),
            limits=LIMITS,
            timeout=timeout,
            trust_env=not is_loopback(self._url.host),
        )
        self._sdk: AsyncOpenAI
        if self._azure:
            endpoint = base_url.rstrip("/").removesuffix("/openai")
            self._sdk = AsyncAzureOpenAI(
                azure_endpoint=endpoint,
                api_key=api_key,
                api_version=api_version,
                max_retries=0,
                timeout=timeout,
                http_client=http,
            )
        else:
            key = api_key or "none"  # it insists on one
            self._sdk = AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=timeout, http_client=http)
        # The SDK takes these from the environment and would send them to any server.
        self._sdk.organization = self._sdk.project = self._sdk.admin_api_key = None

    async def open(self, request: ModelRequest, who: str, redactor: Redactor) -> httpx.Response:
        """Send the request; the response's body is unread, and the caller closes it."""
        body = {**request.options, "model": request.model, "messages": request.messages, "stream": True}
        body.pop("stream_options", None)
        asks_usage = self._stream_usage
        if asks_usage:
            body["stream_options"] = {"include_usage": True}
        try:
            content = orjson.dumps(body)
        except orjson.JSONEncodeError:
            raise InputInvalid("The request holds text that is not valid Unicode.", field="messages") from None
        try:
            return await self._post_again(request.model, content)
        except openai.APIStatusError as error:
            refused = error.response
        except openai.APIConnectionError as error:
            raise self._unreachable(error) from None
        if asks_usage and refused.status_code in {400, 422} and b"stream_options" in refused.content:
            self._stream_usage = False
            return await self.open(request, who, redactor)
        of_tools = bool(request.options.get("tools"))
        raise from_status(who, refused.status_code, refused.headers, refused.content, redactor, of_tools=of_tools)

    async def models(self) -> tuple[Entry, ...]:
        """``GET /models`` as it came; see ``blocks.model_lists`` for what is in it."""
        found = entries_of(await self.ask("/models"))
        if found is None:
            raise ProviderFailed(f"{self._asked} sent no list of models: check base_url, or configure its models.")
        return found

    async def ask(self, path: str, body: Mapping[str, str] | None = None) -> object:
        """The JSON at a path (or a whole address) of the provider, by POST where there is a body; None for what is no JSON."""
        options: Any = {"headers": self._headers}
        try:
            async with asyncio.timeout(LIST_TIMEOUT):
                if body is None:
                    answer = await self._sdk.get(path, cast_to=httpx.Response, options=options)
                else:
                    answer = await self._sdk.post(path, cast_to=httpx.Response, body=body, options=options)
            return orjson.loads(answer.content)
        except TimeoutError:
            raise ProviderUnavailable(f"{self._asked} did not answer within {LIST_TIMEOUT:g} s.") from None
        except openai.APIStatusError as error:
            response = error.response
            redactor = Redactor(self._key)
            raise from_status(self._asked, response.status_code, response.headers, response.content, redactor) from None
        except openai.APIConnectionError as error:
            raise self._unreachable(error) from None
        except orjson.JSONDecodeError:
            return None

    @property
    def _asked(self) -> str:
        return f'Provider "{self._name}", asked for its models,'

    async def aclose(self) -> None:
        await self._sdk.close()

    async def _post_again(self, model: str, content: bytes) -> httpx.Response:
        """``_post``, once more where the server closed the connection: it may have done so just as a kept one was used again."""
        try:
            return await self._post(model, content)
        except openai.APIConnectionError as error:
            if not isinstance(_first_cause(error), HUNG_UP):
                raise
        return await self._post(model, content)

    async def _post(self, model: str, content: bytes) -> httpx.Response:
        path = f"/deployments/{quote(model, safe='')}/chat/completions" if self._azure else "/chat/completions"
        response: Any = await self._sdk.post(
            path,
            content=content,
            options={"headers": JSON | self._headers},
            cast_to=httpx.Response,
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        opened: httpx.Response = response
        return opened

    def _unreachable(self, error: openai.APIConnectionError) -> ProviderFailed | ProviderUnavailable:
        who, cause = f'Provider "{self._name}"', _first_cause(error)
        at = f"{self._url.host}:{self._url.port or (443 if self._url.scheme == 'https' else 80)}"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ProviderFailed(f"{who} at {at} has a certificate that is not trusted: name its CA's file in ca_file.")
        if isinstance(cause, TimeoutError):
            return ProviderUnavailable(f"{who} did not accept a connection to {at} in time.")
        if isinstance(cause, HUNG_UP):
            return ProviderUnavailable(f"{who} broke the connection off before it answered.")
        reason = Redactor(self._key).quote(str(cause)) or type(cause).__name__
        return ProviderUnavailable(f"{who} cannot be reached at {at} ({reason}): is it running?")


def _first_cause(error: BaseException) -> BaseException:
    """The SDK wraps httpx's error, that wraps aiohttp's, and that one the system's."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
