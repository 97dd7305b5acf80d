"""The schema of a tool's inputs as models, MCP and forms get it."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from core.tools.parameters import parameters


class Part(BaseModel):
    """Words for readers of the code."""

    kind: Literal["x"] = Field(description="A kind", json_schema_extra={"zh": "种类"})
    size: float | None = None


class Inputs(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    one_part: Part | None = Field(None, description="A part", json_schema_extra={"zh": "部分", "fastgpt": {"list": [1]}})
    parts: list[Part] = []
    either: Annotated[str | list[str | float], BeforeValidator(str)]
    mark: str | int | None = None
    cells: list[float | None] = Field([], max_length=9)
    shade: Literal["light", "dark"] = "light"


PART = {
    "type": "object",
    "properties": {"kind": {"description": "A kind", "type": "string", "enum": ["x"]}, "size": {"type": "number"}},
    "required": ["kind"],
    "additionalProperties": False,
}


def test_references_nulls_titles_and_form_details_are_gone() -> None:
    schema = parameters(Inputs)
    assert schema["required"] == ["either"]
    assert schema["properties"] == {
        "onePart": {"description": "A part"} | PART,
        "parts": {"type": "array", "items": PART},
        "either": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}]},
        "mark": {"type": ["string", "integer"]},
        "cells": {"type": "array", "items": {"type": "number"}, "maxItems": 9},
        "shade": {"type": "string", "enum": ["light", "dark"], "default": "light"},
    }


def test_descriptions_come_in_chinese_where_a_field_has_them() -> None:
    properties = parameters(Inputs, "zh")["properties"]
    assert properties["onePart"]["description"] == "部分"
    assert properties["onePart"]["properties"]["kind"]["description"] == "种类"
    assert "description" not in properties["parts"]
