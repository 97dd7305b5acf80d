"""Channels in the settings: what each kind can send, and what it would ignore."""

from pathlib import Path

import pytest

from core.config import describe, load_settings
from core.errors import ConfigurationInvalid

URL = "https://prod.example.com/workflows/1?sig=geheim-12345"


def refused(tmp_path: Path, text: str) -> str:
    file = tmp_path / "pilothouse.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationInvalid) as caught:
        load_settings(config=file, overrides={"data_dir": tmp_path})
    assert "geheim" not in caught.value.message
    return caught.value.message


def channel(kind: str, more: str) -> str:
    return f'[channels.ops]\nkind = "{kind}"\nurl = "{URL}"\n{more}\n'


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("teams", 'headers = { Authorization = "geheim" }', 'headers are sent by kind = "webhook" alone'),
        ("webhook", 'headers = { "X Key" = "geheim" }', "headers: expected names such as X-Api-Key"),
        ("webhook", 'headers = { X-Key = "geheim\\r\\nHost: x" }', "headers: X-Key holds a line break"),
        ("webhook", "wrap = false", "leave it out here"),
        ("teams_connector", 'mentions = ["A <a@b.c>"]', 'mentions are for kind = "teams" alone'),
        ("teams", 'mentions = ["oncall@example.com"]', "expected a name and an address such as On Call <oncall@example.com>"),
        ("teams", 'fallback = "ops"', "channels.ops.fallback"),
        ("teams", 'alive = "9 o\'clock"', "expected a time of day such as 09:00"),
        ("slack", "", "channels.ops.kind"),
    ],
)
def test_a_channel_that_cannot_work_is_refused(tmp_path: Path, kind: str, more: str, words: str) -> None:
    assert words in refused(tmp_path, channel(kind, more))


def test_an_address_that_is_none_is_refused_without_telling_it(tmp_path: Path) -> None:
    text = channel("teams", "").replace("https://prod", "ftp://geheim")
    assert "expected an address such as https://host:port/path" in refused(tmp_path, text)


def test_a_channel_is_read_with_its_secrets(tmp_path: Path) -> None:
    file = tmp_path / "pilothouse.toml"
    file.write_text(channel("teams", 'mentions = ["张伟 <zhang.wei@example.com>"]\nwrap = false'))
    settings = load_settings(config=file, overrides={"data_dir": tmp_path})
    read = settings.channels["ops"]
    assert read.url.get_secret_value() == URL
    assert "geheim" not in repr(read)
    assert (read.mentions, read.wrap) == (("张伟 <zhang.wei@example.com>",), False)
    shown = {row.key: row.value for row in describe(settings)}
    assert shown["channels.ops.url"] == "********", "who knows the path may post"
