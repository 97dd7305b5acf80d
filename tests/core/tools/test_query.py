"""``database/query`` as its callers see it: its inputs, its outputs, its words."""

import pytest

from core.charts.chart import Chart, Picture
from core.databases import Rows
from core.errors import InputInvalid
from core.tools.shelf import shelf
from core.tools.tool import Tool


class Recording:
    """A bench with one database, which remembers what it was asked."""

    def __init__(self, answer: Rows) -> None:
        self.answer = answer
        self.asked: tuple[str, str] | None = None

    async def query(self, database: str, sql: str) -> Rows:
        self.asked = (database, sql)
        return self.answer

    async def draw(self, chart: Chart) -> Picture:
        raise AssertionError(chart)


@pytest.fixture
def tool() -> Tool:
    return shelf().find("database/query")


async def test_it_answers_with_rows_and_a_table(tool: Tool) -> None:
    bench = Recording(Rows(("region", "total"), (("北京", 10.5), ("south", 7)), truncated=False))
    made = await tool.run(tool.checked({"sql": "SELECT 1", "database": "sales"}), bench)
    assert bench.asked == ("sales", "SELECT 1")
    assert made == {
        "columns": ["region", "total"],
        "rows": [["北京", 10.5], ["south", 7]],
        "truncated": False,
        "table": "| region | total |\n| --- | --- |\n| 北京 | 10.5 |\n| south | 7 |",
    }
    assert made.keys() == {output.key for output in tool.outputs}


async def test_the_database_may_be_left_out(tool: Tool) -> None:
    bench = Recording(Rows(("n",), (), truncated=False))
    await tool.run(tool.checked({"sql": "SELECT 1"}), bench)
    assert bench.asked == ("", "SELECT 1")


@pytest.mark.parametrize("inputs", [{}, {"database": "sales"}, {"sql": ""}, {"sql": 5}, {"sql": None}])
def test_without_a_statement_it_is_not_run(tool: Tool, inputs: dict[str, object]) -> None:
    with pytest.raises(InputInvalid, match="sql") as refused:
        tool.checked(inputs)
    assert refused.value.field == "sql"


@pytest.mark.parametrize(("language", "word"), [("en", "information_schema"), ("zh", "数据库")])
def test_a_model_is_told_how_to_learn_what_there_is(tool: Tool, language: str, word: str) -> None:
    schema = tool.schema("zh" if language == "zh" else "en")
    assert schema["required"] == ["sql"]
    assert word in schema["properties"]["sql"]["description"]
    assert all(output.label.zh and output.label.en for output in tool.outputs)
