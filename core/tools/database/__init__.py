"""Reading from the databases that the configuration names."""

from core.tools.tool import Toolset, Words

TOOLSET = Toolset(
    id="database",
    name=Words(zh="数据库查询", en="Databases"),
    description=Words(
        zh="对配置中列出的数据库执行只读 SQL 查询", en="Read-only SQL over the databases that the configuration names."
    ),
    icon="/imgs/tools/database.svg",
)
