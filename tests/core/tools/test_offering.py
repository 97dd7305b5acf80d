"""What models are offered, in which way, and what is remembered of refusals."""

import re
from pathlib import Path

import pytest

from core.config import ChatSettings, Settings
from core.conversation import ModelInfo, ToolWay
from core.errors import ConfigurationInvalid, InputInvalid
from core.tools import offering
from core.tools.offering import Ways, offer
from core.tools.shelf import shelf
from core.tools.toolbox import Toolbox
from tests.core.scripted import SHELF, FakeCaller

OFFER = offer(SHELF.tools)


def info(tools: ToolWay = "auto", context: int = 8192, name: str = "m") -> ModelInfo:
    return ModelInfo(name, "p", context, False, tools=tools)


@pytest.mark.parametrize(
    ("text", "cued"), [("Show a MAP", True), ("mapping", True), ("a bitmap", False), ("画个地图", True), ("hello", False)]
)
def test_cues_stand_at_the_beginning_of_a_word(text: str, cued: bool) -> None:
    assert OFFER.cued(text) is cued


def test_the_whole_shelf_can_be_offered() -> None:
    whole = offer(shelf().tools)
    for tool, function in zip(whole.tools, whole.functions, strict=True):
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", function["function"]["name"])
        assert whole.find(function["function"]["name"]) is tool
        assert "$ref" not in str(function)
    assert whole.find("drawing/chart") is None
    assert 100 < whole.tokens < 3000


def test_ways_are_as_configured_until_a_refusal_teaches() -> None:
    ways = Ways()
    assert [ways.of(info(way), OFFER) for way in ("auto", "native", "schema", "off")] == ["native", "native", "schema", "off"]
    assert ways.of(info(), offer(())) == "off"
    assert ways.of(info(context=300), OFFER) == "schema"
    assert [ways.after(info(), "native"), ways.after(info(), "schema"), ways.after(info("native"), "native")] == [
        "schema", "off", "off",
    ]  # fmt: skip


def test_what_was_learned_is_of_one_model_and_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(offering, "monotonic", lambda: now)
    ways = Ways()
    ways.learn(info(), "schema")
    assert [ways.of(info(), OFFER), ways.of(info(name="other"), OFFER)] == ["schema", "native"]
    now += 3599
    assert ways.of(info(), OFFER) == "schema"
    now += 2
    assert ways.of(info(), OFFER) == "native"


def test_an_offer_is_made_once() -> None:
    toolbox = Toolbox(SHELF, FakeCaller())
    assert toolbox.offer(["maps/draw", "weather/now"]) is toolbox.offer(["weather/now", "maps/draw", "maps/draw"])
    with pytest.raises(InputInvalid, match="there are: maps/draw, weather/now"):
        toolbox.offer(["maps/none"])


def test_the_usual_tools_are_those_of_the_settings(tmp_path: Path) -> None:
    assert Toolbox.from_settings(Settings(data_dir=tmp_path), FakeCaller()).usual == ("drawing/chart",)
    wrong = Settings(data_dir=tmp_path, chat=ChatSettings(tools=("drawing/none",)))
    with pytest.raises(ConfigurationInvalid, match=r"^chat\.tools: There is no tool"):
        Toolbox.from_settings(wrong, FakeCaller())
