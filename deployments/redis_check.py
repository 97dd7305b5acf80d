"""Whether the configured Redis or Valkey will do, asked once when ``up`` starts."""

from urllib.parse import urlsplit

import redis.asyncio
from redis.exceptions import AuthenticationError, RedisError

from core.config import RedisSettings
from core.errors import PartMissing

MINIMUM = 7


async def check_redis(settings: RedisSettings, source: str) -> None:
    """Returns when the server answers and is new enough. Raises ``PartMissing`` naming where the address came from."""
    assert settings.url is not None
    url = settings.url.get_secret_value()
    parts = urlsplit(url)
    shown = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
    client = redis.asyncio.from_url(url, socket_timeout=settings.timeout, socket_connect_timeout=settings.timeout)
    try:
        told = await client.info("server")
    except AuthenticationError as error:
        raise PartMissing(f"Redis at {shown} refused the password: check {source}.") from error
    except (RedisError, OSError) as error:
        raise PartMissing(f"Redis at {shown} does not answer: check {source}, or unset it to keep streams in memory.") from error
    finally:
        await client.aclose()
    version = str(told.get("redis_version", "0"))
    if int(version.split(".", maxsplit=1)[0]) < MINIMUM:
        raise PartMissing(f"Redis at {shown} is version {version}; {MINIMUM} or newer (or any Valkey) is needed.")
