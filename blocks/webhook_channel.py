"""A channel that is any HTTP endpoint: the message as JSON by POST."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import Field, SecretStr

from blocks.channel_answers import judged
from blocks.channel_errors import Words
from blocks.channel_post import Post, Way, sent
from core.alerts.message import Answer, Message
from core.settings_alerts import ChannelSettings


class WebhookChannel(Block):
    """Any HTTP endpoint that takes messages as JSON.

    Example:
        Load the saved block and send a message:

        ```python
        from blocks.webhook_channel import WebhookChannel
        from core.alerts.message import Message

        channel = await WebhookChannel.aload("pager")
        await channel.send(Message("1", "test", "It works"))
        ```
    """

    _block_type_name: ClassVar[str | None] = "Webhook Channel"
    _block_type_slug: ClassVar[str | None] = "webhook-channel"
    _description: ClassVar[str | None] = "An HTTP endpoint that takes alerts as JSON by POST."

    name: str = Field(description="What the channel is called in pilothouse.toml.")
    url: SecretStr = Field(description="Where messages are posted to.")
    headers: SecretDict = Field(default=SecretDict({}), description="Sent with each request, such as Authorization.")
    proxy: SecretStr | None = Field(default=None, description="http://proxy:3128; HTTPS_PROXY and NO_PROXY if empty.")
    timeout: float = Field(default=20.0, gt=0, description="Seconds for one request.")
    ca_file: Path | None = Field(default=None, description="A file of further CA certificates to trust.")

    @classmethod
    def from_settings(cls, name: str, channel: ChannelSettings, ca_file: Path | None = None) -> Self:
        """The channel ``[channels.NAME]``; touches no server."""
        return cls(
            name=name,
            url=channel.url,
            headers=SecretDict({name: value.get_secret_value() for name, value in channel.headers.items()}),
            proxy=SecretStr(channel.proxy) if channel.proxy else None,
            timeout=channel.timeout,
            ca_file=ca_file,
        )

    async def send(self, message: Message) -> Answer:
        """See ``Channel.send``: taken is any 2xx."""
        url, who = self.url.get_secret_value(), f'The channel "{self.name}"'
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.id, **self.headers.get_secret_value()}
        way = Way(who, url, self.timeout, self.proxy.get_secret_value() if self.proxy else None, self.ca_file)

        def work(post: Post) -> None:
            post.post(url, body_of(message), headers)

        words = Words(url, message)
        return judged(who, await sent(way, work), words)


def body_of(message: Message) -> dict[str, Any]:
    """What is posted."""
    return {
        "id": message.id,
        "kind": message.kind,
        "severity": message.severity,
        "title": message.title,
        "text": "\n\n".join(message.lines),
        "facts": dict(message.facts),
        "entries": list(message.entries),
        "links": [{"title": link.title, "url": link.url} for link in message.links],
        "alerts": list(message.alerts),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
