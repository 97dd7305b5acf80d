"""A chart from a tool's inputs, its errors in the words of those inputs."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from core.charts.chart import Chart

_FIELD_FIRST = re.compile(r"([A-Za-z]\w*(?:\.\w+)*) ")


def chart_of(wanted: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Chart:
    """The checked chart. Raises ``ValueError``: ``field: what is wrong``; ``names`` are what its fields are called here."""
    try:
        return Chart.model_validate(wanted)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place, said = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
        if not place and (found := _FIELD_FIRST.match(said)):
            place, said = found[1], said[found.end() :]
        for ours, theirs in (names or {}).items():
            place = re.sub(rf"^{re.escape(ours)}\b", theirs, place)
            said = re.sub(rf"\b{re.escape(ours)}\b", theirs, said)
        raise ValueError(f"{place}: {said}" if place else said) from error
