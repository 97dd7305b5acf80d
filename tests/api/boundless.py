"""A gate without limits, for applications of tests that have no database to count in."""

from core.quotas.gate import Left
from core.store.access import Principal


class Boundless:
    """Lets every request in."""

    async def request(self, caller: Principal) -> Left | None:
        return None
