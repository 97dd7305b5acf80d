"""Settings of drawing; a part of the tree in ``core/settings.py``."""

from typing import Annotated

from pydantic import Field

from core.settings_types import Section


class ChartSettings(Section):
    """``[charts]``: the worker processes that draw charts."""

    workers: Annotated[int, Field(ge=1, le=64)] | None = None
    """Worker processes at most, of each process that draws; None means one less than the cores it may use, at least one."""
    time_limit: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Seconds one chart may take to draw."""
    wait_limit: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Seconds one chart may wait for a worker; then its caller hears that all are busy."""
    memory_limit: Annotated[int, Field(ge=256, le=65536)] = 512
    """Megabytes a worker may use; about 100 of them go to what drawing needs in any case."""
    queue: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Charts that may be drawn or wait at once; one more is refused until there is room."""
