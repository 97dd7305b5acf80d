"""Whether the configured Redis or Valkey will do, asked once when ``up`` starts."""

from blocks.valkey import check_server
from core.config import RedisSettings
from core.errors import PartMissing, PilothouseError


async def check_redis(settings: RedisSettings, source: str) -> None:
    """Returns when the server answers, is new enough and lets us write. Raises ``PartMissing`` naming the address's source."""
    try:
        await check_server(settings)
    except PilothouseError as error:
        raise PartMissing(f"{error.message} (redis.url is from {source}; without it streams stay in memory)") from error
