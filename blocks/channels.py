"""The channels of ``[channels.X]``, by their kind."""

from blocks.teams import TeamsChannel
from blocks.webhook_channel import WebhookChannel
from core.config import Settings
from core.settings_alerts import ChannelSettings


def channel_of(name: str, channel: ChannelSettings, settings: Settings) -> TeamsChannel | WebhookChannel:
    """The ``Channel`` that sends messages to ``[channels.NAME]``. Touches nothing yet."""
    if channel.kind == "webhook":
        return WebhookChannel.from_settings(name, channel, settings.ca_file)
    return TeamsChannel.from_settings(name, channel, settings.ca_file)
