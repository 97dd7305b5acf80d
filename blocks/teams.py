"""Microsoft Teams as a channel: cards to a Workflow, or to one of the retired Office 365 connectors."""

from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks.channel_errors import Words
from blocks.channel_post import Post, Way, sent
from blocks.teams_answers import of_connector, of_workflow
from blocks.teams_cards import adaptive, connector
from blocks.tls import trusted_file
from core.alerts.message import Answer, Message
from core.settings_alerts import ChannelSettings


class TeamsChannel(Block):
    """A channel of Microsoft Teams, by the address of a Workflow or of an Office 365 connector.

    Example:
        Load the saved block and send a message:

        ```python
        from blocks.teams import TeamsChannel
        from core.alerts.message import Message

        channel = await TeamsChannel.aload("operators")
        await channel.send(Message("1", "test", "It works"))
        ```
    """

    _block_type_name: ClassVar[str | None] = "Teams Channel"
    _block_type_slug: ClassVar[str | None] = "teams-channel"
    _description: ClassVar[str | None] = "A channel of Microsoft Teams that alerts go to as cards."

    name: str = Field(description="What the channel is called in pilothouse.toml.")
    url: SecretStr = Field(description="The address that the Workflow shows: When a Teams webhook request is received.")
    kind: Literal["workflow", "connector"] = Field(default="workflow", description="connector: a retired Office 365 connector.")
    wrap: bool = Field(default=True, description="The card as a message's attachment; off for flows that expect a bare card.")
    proxy: SecretStr | None = Field(default=None, description="http://proxy:3128; HTTPS_PROXY and NO_PROXY if empty.")
    timeout: float = Field(default=20.0, gt=0, description="Seconds for one request.")
    ca_file: Path | None = Field(default=None, description="A file of further CA certificates to trust.")

    @classmethod
    def from_settings(cls, name: str, channel: ChannelSettings, ca_file: Path | None = None) -> Self:
        """The channel ``[channels.NAME]``; touches no server."""
        return cls(
            name=name,
            url=channel.url,
            kind="connector" if channel.kind == "teams_connector" else "workflow",
            wrap=channel.wrap,
            proxy=SecretStr(channel.proxy) if channel.proxy else None,
            timeout=channel.timeout,
            ca_file=ca_file,
        )

    async def send(self, message: Message) -> Answer:
        """See ``Channel.send``. A Workflow that has taken a card need not show it, which is what the card of ``alive`` is for."""
        who, url = f'The channel "{self.name}"', self.url.get_secret_value()
        way = Way(who, url, self.timeout, self.proxy.get_secret_value() if self.proxy else None, self.ca_file)
        card = connector(message) if self.kind == "connector" else adaptive(message, wrap=self.wrap)
        reply = await sent(way, lambda post: _carry(card, way, post))
        words = Words(url, message)
        return (of_connector if self.kind == "connector" else of_workflow)(who, reply, words)


def _carry(card: dict[str, Any], way: Way, post: Post) -> None:
    """By pymsteams' synchronous sender. Its own judgement of the answer is not used: see ``blocks.teams_answers``."""
    sender = _pymsteams()
    sender.requests = post
    message = sender.connectorcard(way.url, http_timeout=way.timeout, verify=trusted_file(way.ca_file))
    message.payload = card
    try:
        message.send()
    except sender.TeamsWebhookException:
        return


def _pymsteams() -> Any:
    """A copy of its module, to be given a ``requests`` of ours: the real one follows redirects with the card in its hands."""
    spec = find_spec("pymsteams")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
