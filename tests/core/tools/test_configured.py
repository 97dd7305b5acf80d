"""What a configuration adds to the words of the tools."""

from pathlib import Path

from core.config import Settings
from core.tools.configured import shelf_for
from core.tools.offering import offer
from core.tools.shelf import shelf


def configured(tmp_path: Path, **descriptions: str) -> Settings:
    databases = {name: {"url": f"mysql://u:hidden@h/{name}", "description": what} for name, what in descriptions.items()}
    return Settings.model_validate({"data_dir": tmp_path, "databases": databases})


def test_a_model_is_told_which_databases_there_are(tmp_path: Path) -> None:
    tools = shelf_for(configured(tmp_path, sales="Orders since 2019", hr=""))
    query = tools.find("database/query")
    assert query.description.en.endswith("The databases are: sales (Orders since 2019); hr.")
    assert query.description.zh.endswith("可查询的数据库：sales（Orders since 2019）；hr")
    told = offer([query]).functions[0]["function"]["description"]
    assert "sales (Orders since 2019)" in told
    assert "hidden" not in told


def test_nothing_else_of_the_shelf_changes(tmp_path: Path) -> None:
    assert shelf_for(configured(tmp_path)) == shelf()
    tools = shelf_for(configured(tmp_path, sales=""))
    assert [tool.id for tool in tools.tools] == [tool.id for tool in shelf().tools]
    assert tools.find("drawing/chart") is shelf().find("drawing/chart")
    assert tools.find("database/query").run is shelf().find("database/query").run
