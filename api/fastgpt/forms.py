"""A tool's inputs and outputs as fields of a FastGPT node, derived from the tool's schema.

What a schema cannot say (how a field is drawn in FastGPT's editor) a tool gives in its field's ``json_schema_extra`` under
``fastgpt``; those keys win over what is derived here. FastGPT shows one language here, and its own tools use Chinese.
"""

from collections.abc import Mapping
from typing import Any

from core.tools.tool import Output, Tool

LONG = 500
"""Characters from which a text gets an editor of several lines."""
RENDERED: Mapping[str, str] = {"string": "input", "number": "numberInput", "boolean": "switch"}
PLAIN: Mapping[str, str] = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "object": "object"}
BOUNDS: Mapping[str, str] = {"minimum": "min", "maximum": "max", "maxLength": "maxLength"}
SCHEMA_TYPES: Mapping[str, dict[str, Any]] = {
    **{name: {"type": name} for name in ("string", "number", "boolean", "object")},
    **{f"array{name.capitalize()}": {"type": "array", "items": {"type": name}} for name in ("string", "number", "object")},
}
"""The JSON schema of a FastGPT type; ``any`` has none."""


def inputs(tool: Tool) -> list[dict[str, Any]]:
    """The fields in the tool's order."""
    schema, given = tool.schema("zh"), tool.inputs.model_json_schema()["properties"]
    return [
        _input(key, field, key in schema["required"]) | given[key].get("fastgpt", {})
        for key, field in schema["properties"].items()
    ]


def outputs(tool: Tool) -> list[dict[str, Any]]:
    """What the node gives to others."""
    return [_output(output) for output in tool.outputs if output.shown]


def input_schema(tool: Tool) -> dict[str, Any]:
    """The inputs as generation C has them: JSON schema, where each property says that a model may fill it in."""
    schema = tool.schema("zh")
    titled = {key: _titled(key, field) for key, field in schema["properties"].items()}
    return schema | {"properties": titled}


def output_schema(tool: Tool) -> dict[str, Any]:
    """The outputs likewise."""
    properties = {
        output.key: {**SCHEMA_TYPES.get(output.type, {}), "title": output.label.zh, "description": output.description.zh}
        for output in tool.outputs
        if output.shown
    }
    return {"type": "object", "properties": properties}


def _titled(key: str, field: Mapping[str, Any]) -> dict[str, Any]:
    told = field.get("description", key)
    return {**field, "title": key, "description": told, "toolDescription": told, "isToolParam": True}


def _output(output: Output) -> dict[str, Any]:
    return {
        "id": output.key,
        "key": output.key,
        "type": "static",
        "valueType": output.type,
        "label": output.label.zh,
        "description": output.description.zh,
        "defaultValue": "",
        "required": False,
    }


def _input(key: str, field: Mapping[str, Any], required: bool) -> dict[str, Any]:
    kind, told = _value_type(field), field.get("description", key)
    made: dict[str, Any] = {
        "key": key,
        "label": key,
        "renderTypeList": [_rendered(kind, field), "reference"],
        "valueType": kind,
        "description": told,
        "toolDescription": told,
        "required": required,
    }
    if "enum" in field:
        made["list"] = [{"label": str(choice), "value": choice} for choice in field["enum"]]
    if "default" in field:
        made["defaultValue"] = field["default"]
    return made | {ours: field[theirs] for theirs, ours in BOUNDS.items() if theirs in field}


def _value_type(field: Mapping[str, Any]) -> str:
    """Of several possible types the first."""
    kind = field.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind is None and field.get("anyOf"):
        return _value_type(field["anyOf"][0])
    if kind == "array":
        return f"array{_value_type(field.get('items', {})).capitalize()}"
    return PLAIN.get(str(kind), "string" if "enum" in field else "any")


def _rendered(kind: str, field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return "select"
    if kind == "string" and field.get("maxLength", 0) >= LONG:
        return "textarea"
    return RENDERED.get(kind, "JSONEditor")
