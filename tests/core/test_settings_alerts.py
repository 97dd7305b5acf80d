"""Channels as the configuration names them: a fallback is another channel, a time of day is one."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.settings import Settings

HOOK = {"kind": "webhook", "url": "http://127.0.0.1/x"}


def with_channels(**channels: dict[str, Any]) -> Settings:
    return Settings.model_validate({"data_dir": Path("/nowhere"), "channels": channels})


@pytest.mark.parametrize("fallback", ["a", "c"])
def test_a_fallback_is_another_channel(fallback: str) -> None:
    assert with_channels(a=HOOK | {"fallback": "b"}, b=HOOK).channels["a"].fallback == "b"
    with pytest.raises(ValidationError, match=r"channels.a.fallback: expected another channel: b"):
        with_channels(a=HOOK | {"fallback": fallback}, b=HOOK)


@pytest.mark.parametrize("clock", ["9:00", "24:00", "09:60", "morning", "09:00:00"])
def test_a_time_of_day_is_one(clock: str) -> None:
    with pytest.raises(ValidationError, match="such as 09:00"):
        with_channels(a=HOOK | {"alive": clock})
