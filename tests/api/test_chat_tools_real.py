"""Charts from the demo model as it is: a small model on llama.cpp, asked over HTTP, its picture read back."""

import re
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.api.conftest import Serve
from tests.api.serving import Chat, provider
from tests.smollm import KEY, smollm_server

pytest.importorskip("xllamacpp", reason="xllamacpp has no wheel for this platform")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

IMAGE = re.compile(r"!\[[^\]]*\]\((http[^)]+)\)\n\n")


@pytest.fixture
async def demo(serve: Serve, tmp_path: Path) -> AsyncGenerator[Chat, None]:
    """A session with the demo model, configured as ``up`` configures it."""
    async with smollm_server(tmp_path) as base_url:
        model = {"name": "smollm2-135m-instruct", "context": 2048}
        served = serve(providers={"demo": provider(base_url, model, api_key=KEY, demo=True, tools="schema")})
        async with served.client() as client:
            client.timeout = 120
            yield await Chat(client).open()


async def test_the_demo_model_draws(demo: Chat) -> None:
    asked = {
        "Draw a bar chart of apples 3, pears 5, plums 2": ("apples", "pears", "plums"),
        "Now as a pie chart": ("apples", "pears", "plums"),
        "请做一个饼图：房租1200，餐饮600，娱乐200": ("房租", "餐饮", "娱乐"),
    }
    for question, names in asked.items():
        answer = (await demo.ask(question, None)).json()
        assert answer["finishReason"] in {"stop", "length"}
        found = IMAGE.search(answer["message"]["content"])
        assert found is not None, answer
        picture = await demo.client.get(found[1])
        assert (picture.status_code, picture.headers["content-type"].partition(";")[0]) == (200, "image/svg+xml")
        assert [name for name in names if name not in picture.text] == []


async def test_the_demo_model_answers_questions_about_charts_in_words(demo: Chat) -> None:
    for question in ("What is a pie chart?", "Hello, who are you?"):
        answer = (await demo.ask(question, None)).json()["message"]["content"]
        assert answer
        assert IMAGE.search(answer) is None
