"""``database/query``: one reading SQL statement, answered as rows and as a table in Markdown."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from core.databases import table
from core.tools.tool import Bench, Output, Tool, Words


class QueryInputs(BaseModel):
    """What to ask, and of which database."""

    sql: str = Field(
        min_length=1,
        description=(
            "One reading SQL statement (SELECT, VALUES, TABLE or WITH) in the dialect of the database (PostgreSQL, MySQL or "
            "MariaDB). Query information_schema.tables and information_schema.columns first to learn what there is."
        ),
        json_schema_extra={
            "zh": "一条只读 SQL 语句（SELECT、VALUES、TABLE 或 WITH），使用该数据库的方言（PostgreSQL、MySQL 或 MariaDB）。"
            "可先查询 information_schema.tables 和 information_schema.columns 了解有哪些表和列。"
        },
    )
    database: str = Field(
        "",
        description="The name of the database; may be left out where there is only one.",
        json_schema_extra={"zh": "数据库的名称；只有一个数据库时可省略。"},
    )


async def run(inputs: QueryInputs, bench: Bench) -> Mapping[str, Any]:
    found = await bench.query(inputs.database, inputs.sql)
    return {
        "columns": list(found.columns),
        "rows": [list(row) for row in found.rows],
        "truncated": found.truncated,
        "table": table(found),
    }


TOOL = Tool(
    id="database/query",
    name=Words(zh="数据库查询", en="Database query"),
    description=Words(
        zh="对已配置的数据库执行一条只读 SQL 查询，返回结果行和 Markdown 表格",
        en="Run one read-only SQL query on a configured database and get its rows, also as a Markdown table.",
    ),
    version="0.1.0",
    inputs=QueryInputs,
    outputs=(
        Output(
            "table", "string", Words("表格", "Table"), Words("Markdown 表格，最多 50 行", "A Markdown table of up to 50 rows.")
        ),
        Output("columns", "arrayString", Words("列名", "Columns"), Words("各列的名称", "The names of the columns.")),
        Output(
            "rows",
            "any",
            Words("结果行", "Rows"),
            Words("每行的值，按列的顺序", "The values of each row in order of the columns."),
        ),
        Output(
            "truncated",
            "boolean",
            Words("已截断", "Truncated"),
            Words("结果超出限制，有行或值被截断", "Whether a limit cut off rows or parts of values."),
        ),
    ),
    run=run,
    cues=("sql", "database", "query", "table", "rows", "数据库", "查询", "数据表"),
    at_once=32,
)
