"""An Ollama that nobody configured but that answers on this machine: named to people who talk to the demo model, not used."""

from time import monotonic

import httpx

from blocks.openai_client import tls

ADDRESS = "http://127.0.0.1:11434"


class OllamaNearby:
    """``found`` after ``look``, which asks at most once a minute."""

    AGAIN = 60.0
    TIMEOUT = 0.3

    def __init__(self, address: str = ADDRESS) -> None:
        self._address = address
        self._looked: float | None = None
        self.found = False

    async def look(self) -> None:
        """Ask its version; where nothing listens that takes a millisecond."""
        if self._looked is not None and monotonic() - self._looked < self.AGAIN:
            return
        self._looked = monotonic()
        try:
            async with httpx.AsyncClient(verify=tls(None), trust_env=False, timeout=self.TIMEOUT) as http:
                answer = await http.get(f"{self._address}/api/version")
        except httpx.HTTPError:
            self.found = False
        else:
            self.found = answer.status_code == 200 and b'"version"' in answer.content
