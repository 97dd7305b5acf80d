"""One message on its way to a channel: tried once, and what came of it kept beside it."""

import asyncio
import random

from core.alerts.message import Answer, Channel, Message
from core.errors import ChannelUnavailable, PilothouseError

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 60.0
"""Seconds between two tries, growing from the one to the other."""
LIMIT = 300.0
"""Seconds after which a channel that minds no time limit of its own is given up."""


class Delivery:
    """Shown as the message's id, so that nothing of its text gets into the name of a task run."""

    def __init__(self, channel: Channel, message: Message) -> None:
        self.message = message
        self.answer: Answer | None = None
        self.error: PilothouseError | None = None
        self._channel = channel

    def __str__(self) -> str:
        return self.message.id

    @property
    def ended(self) -> bool:
        """Whether it was tried to its end."""
        return self.answer is not None or self.error is not None

    async def attempt(self) -> Answer:
        """Try it. Raises ``ChannelRefused``, and ``ChannelUnavailable`` where waiting helps."""
        try:
            async with asyncio.timeout(LIMIT):
                self.answer = await self._channel.send(self.message)
        except PilothouseError as error:
            self.error = error
            raise
        except TimeoutError as error:
            self.error = ChannelUnavailable("The channel did not answer in time.")
            raise self.error from error
        return self.answer


def pause(tries: int, retry_after: float | None) -> float:
    """Seconds until a message is tried again after so many tries: longer each time, never before the other side wants it."""
    grown = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - 1, 10))
    spread = grown * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load, keeps no secret)
    return spread if retry_after is None else max(retry_after, 0.0) + spread / 4
