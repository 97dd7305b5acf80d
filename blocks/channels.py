"""The channels of ``[channels.X]``, by their kind."""

from blocks.webhook_channel import WebhookChannel
from core.alerts.message import Channel
from core.config import Settings
from core.settings_alerts import ChannelSettings


def channel_of(name: str, channel: ChannelSettings, settings: Settings) -> Channel:
    """What sends messages to ``[channels.NAME]``. Touches nothing yet."""
    return WebhookChannel.from_settings(name, channel, settings.ca_file)
