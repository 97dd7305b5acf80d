"""What a model without tool calls is asked for a chart, and what becomes of its answers."""

from typing import Any

import pytest

from core.tools.drafting import Draft
from core.tools.drawing.chart import TOOL
from core.tools.drawing.sketching import sketched

FRUIT = "Draw a bar chart of apples 3, pears 5, plums 2"


def asked(*texts: str) -> Draft:
    draft = sketched(texts)
    assert draft is not None
    return draft


def drawn(draft: Draft, **answer: Any) -> dict[str, Any]:
    """The tool's inputs, which it takes."""
    inputs = draft.inputs(answer)
    assert inputs is not None
    TOOL.checked(inputs)
    return dict(inputs)


def test_plain_figures_are_not_left_to_the_model() -> None:
    draft = asked(FRUIT)
    assert draft.sure
    assert draft.schema["properties"] == {"chartType": {"enum": ["bar"]}, "title": {"type": "string", "maxLength": 60}}
    assert drawn(draft, chartType="bar", title="Apples, pears and plums") == {
        "type": "bar",
        "title": "Apples, pears and plums",
        "labels": ["apples", "pears", "plums"],
        "series": [{"name": "", "values": [3, 5, 2]}],
    }


@pytest.mark.parametrize("title", ["Sales in Mumbai 2014", "Apples and apples", "Apples and pears", "", "..."])
def test_a_title_that_is_made_up_is_replaced(title: str) -> None:
    assert drawn(asked(FRUIT), chartType="bar", title=title)["title"] == "apples, pears, plums"


def test_a_title_that_the_user_gave_is_kept() -> None:
    assert asked('Plot "My fruit": apples 3, pears 5 in a chart').schema["properties"]["title"] == {"const": "My fruit"}
    assert asked("Make a line chart of visitors: Jan 1, Feb 2").schema["properties"]["title"] == {"const": "Visitors"}


def test_kinds_that_the_user_names_are_the_choice() -> None:
    assert asked("Draw as pie chart or donut: a1 3, b1 5").schema["properties"]["chartType"] == {"enum": ["pie", "donut"]}
    assert len(asked("Visualize red 3, green 5").schema["properties"]["chartType"]["enum"]) > 3
    several = asked("| x | A | B |\n|---|---|---|\n| p | 1 | 2 |\n| q | 3 | 4 |\nDraw a chart")
    assert not {"pie", "donut", "funnel"} & set(several.schema["properties"]["chartType"]["enum"])


def test_a_chart_may_be_asked_of_what_was_said_before() -> None:
    draft = asked("Now as a pie chart", "thanks", FRUIT)
    assert draft.sure
    assert drawn(draft, chartType="pie", title="")["series"] == [{"name": "", "values": [3, 5, 2]}]
    assert sketched(("Tell me about a pie chart", FRUIT)) is None


@pytest.mark.parametrize(
    "text",
    [
        "What is a chart?",
        "Explain this chart: sales 5, costs 3",
        "为什么用饼图？",
        "Draw a chart",
        "Draw a chart of the 5 largest countries",
    ],
)
def test_questions_and_requests_without_figures_are_no_charts(text: str) -> None:
    assert sketched([text]) is None


def test_what_is_not_plain_is_left_to_the_model_within_the_users_words() -> None:
    text = "Draw a chart. The town had 300 shops and, after 20 years, 250 of them had closed."
    draft = asked(text)
    assert not draft.sure
    points = draft.schema["properties"]["points"]
    assert points["items"]["properties"]["value"] == {"enum": [20, 250, 300]}
    good = [{"label": "shops", "value": 300}, {"label": "closed", "value": 250}]
    assert drawn(draft, chartType="bar", title="", points=good)["labels"] == ["shops", "closed"]
    for bad in (
        [],
        None,
        [{"label": "shops", "value": 300}],
        [{"label": "shops", "value": 300}, {"label": "houses", "value": 250}],
        [{"label": "shops", "value": 300}, {"label": "closed", "value": 7}],
        [{"label": "shops", "value": 300}, {"label": "shops", "value": 250}],
        [{"label": "", "value": 300}, {"label": "closed", "value": 250}],
    ):
        assert draft.inputs({"chartType": "bar", "title": "", "points": bad}) is None
