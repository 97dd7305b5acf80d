"""Whether a Prefect server does what somebody without its password says."""

from pathlib import Path

import httpx

from blocks.tls import tls

SECONDS = 5.0
REFUSED = (401, 403)


async def is_open(api_url: str, ca_file: Path | None) -> bool | None:
    """None where it does not answer as a Prefect server would. Nothing of ours is sent."""
    try:
        async with httpx.AsyncClient(verify=tls(ca_file), timeout=SECONDS) as client:
            answer = await client.post(f"{api_url.rstrip('/')}/flows/count", json={})
    except httpx.HTTPError:
        return None
    if answer.status_code in REFUSED:
        return False
    return True if answer.status_code == 200 else None
