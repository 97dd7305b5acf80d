"""Charts from the demo model as it is: a small model on llama.cpp, asked over HTTP, its picture read back."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack

import pytest

from deployments.postgres import EmbeddedPostgres
from tests.api.serving import Chat, Served, launched, provider
from tests.smollm import KEY, smollm_server

pytest.importorskip("xllamacpp", reason="xllamacpp has no wheel for this platform")
pytestmark = pytest.mark.slow

IMAGE = re.compile(r"!\[[^\]]*\]\((http[^)]+)\)\n\n")


@pytest.fixture(scope="module")
def served(postgres: EmbeddedPostgres, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API with the demo model, configured as ``up`` configures it."""
    folder, model = tmp_path_factory.mktemp("demo"), {"name": "smollm2-135m-instruct", "context": 2048}
    with ExitStack() as stack:
        runner, server = stack.enter_context(asyncio.Runner()), smollm_server(folder)
        base_url = runner.run(server.__aenter__())
        stack.callback(lambda: runner.run(server.__aexit__(None, None, None)))
        providers = {"demo": provider(base_url, model, api_key=KEY, demo=True, tools="schema")}
        yield stack.enter_context(launched(postgres, template_database, folder, providers))


@pytest.fixture
async def demo(served: Served) -> AsyncGenerator[Chat, None]:
    """A session with it."""
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
