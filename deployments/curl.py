"""The line that ``up`` prints for a first try: it works when pasted, and holds no token."""

import json
from shlex import quote
from urllib.parse import urlsplit

from core.config import Settings
from deployments.addresses import get
from deployments.api_parts import admin_token_file


async def curl_line(settings: Settings, url: str) -> str:
    """A streamed chat completion by the first model that the running API lists."""
    body: dict[str, object] = {"stream": True, "messages": [{"role": "user", "content": "Hello! Who are you?"}]}
    if (model := await _first_model(settings, url)) is not None:
        body = {"model": model, **body}
    token = quote(str(admin_token_file(settings.data_dir)))
    # The certificate is for the name that people use, not for the address on this machine.
    trust = " -k" if settings.tls_cert else ""
    return (
        f'curl -N{trust} {url}/v1/chat/completions -H "Authorization: Bearer $(cat {token})"'
        f" -H 'Content-Type: application/json' -d {quote(json.dumps(body))}"
    )


async def _first_model(settings: Settings, url: str) -> str | None:
    token = admin_token_file(settings.data_dir).read_text().strip()
    parts = urlsplit(url)
    status, body = await get(
        parts.hostname or "", parts.port or 0, "/v1/models", {"Authorization": f"Bearer {token}"}, tls=parts.scheme == "https"
    )
    try:
        models = json.loads(body)["data"] if status == 200 else []
        return str(models[0]["id"]) if models else None
    except (ValueError, KeyError, TypeError):
        return None
