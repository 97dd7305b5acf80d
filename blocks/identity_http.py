"""Questions to another provider of logins: JSON within a time and a size, never led on to another address."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from blocks.probes.proxies import proxy_of
from blocks.tls import tls
from core.errors import DirectoryUnavailable

MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """A status below 500, and the JSON that came with it; None where that was none."""

    status: int
    body: Any

    @property
    def document(self) -> dict[str, Any] | None:
        """The JSON object of a 200."""
        return self.body if self.status == 200 and isinstance(self.body, dict) else None


class IdentityHttp:
    """``label`` is what messages call the provider."""

    def __init__(self, label: str, timeout: float, ca_file: Path | None) -> None:
        self._label, self._timeout, self._ca_file = label, timeout, ca_file

    async def ask(
        self, url: str, *, form: Mapping[str, str] | None = None, token: str | None = None, host: str | None = None
    ) -> Told:
        """GET, or POST of a form; ``host`` is the name to ask under. Raises ``DirectoryUnavailable``."""
        headers = {"Accept": "application/json", "User-Agent": "pilothouse"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if host is not None:
            headers["Host"] = host
        try:
            async with asyncio.timeout(self._timeout), self._client(url) as client:
                request = client.build_request("POST" if form is not None else "GET", url, headers=headers, data=form)
                answer = await client.send(request, stream=True)
                try:
                    return self._told(answer.status_code, await _body(answer))
                finally:
                    await answer.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise self.away() from error

    def away(self) -> DirectoryUnavailable:
        """What is said while it cannot be asked."""
        return DirectoryUnavailable(
            f"{self._label} does not answer as it should, so its people cannot log in; try again in a moment.", retry_after=5
        )

    def _client(self, url: str) -> httpx.AsyncClient:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        proxy = proxy_of(parts.scheme, parts.hostname or "", port)
        return httpx.AsyncClient(
            verify=tls(self._ca_file), timeout=self._timeout, proxy=proxy, trust_env=False, follow_redirects=False
        )

    def _told(self, status: int, body: bytes | None) -> Told:
        if status >= 500 or status == 429 or body is None:
            raise self.away()
        try:
            return Told(status, json.loads(body))
        except (ValueError, RecursionError):
            return Told(status, None)


async def _body(answer: httpx.Response) -> bytes | None:
    """None for more than there could be."""
    body = b""
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > MOST:
            return None
    return body
