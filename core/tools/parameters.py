"""A tool's inputs as one flat JSON schema, as a model's function parameters, MCP's ``inputSchema`` and a form have them.

Pydantic writes references, titles and a branch for null wherever a value may be missing. Weak models stumble over these (a small
one whose decoding is constrained to numbers or null writes null without end), so the schema leaves them out. A field's
``json_schema_extra`` may hold ``zh``, its description in Chinese, and ``fastgpt``, what only FastGPT's form asks for; neither is
part of the schema.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

Language = Literal["en", "zh"]
_ANNOTATIONS = ("title", "zh", "fastgpt")
"""Keys beside the rules themselves: what Pydantic makes of a name, and what our fields carry for others."""


def parameters(inputs: type[BaseModel], language: Language = "en") -> dict[str, Any]:
    """The schema of an object: ``properties``, ``required``, no references; descriptions in ``language`` where there are."""
    whole = inputs.model_json_schema(by_alias=True, mode="validation")
    return _object(whole, whole.get("$defs", {}), language)


def _object(schema: Mapping[str, Any], named: Mapping[str, Any], language: Language) -> dict[str, Any]:
    properties = {key: _value(value, named, language) for key, value in schema.get("properties", {}).items()}
    return {
        "type": "object",
        "properties": properties,
        "required": list(schema.get("required", [])),
        "additionalProperties": False,
    }


def _value(schema: Mapping[str, Any], named: Mapping[str, Any], language: Language) -> dict[str, Any]:
    if "anyOf" in schema:
        schema = _without_null(schema)
    if "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        # A model's own description is its docstring, which is for readers of the code.
        model = named[schema["$ref"].rpartition("/")[2]]
        schema = {key: value for key, value in model.items() if key != "description"} | beside
    said = {"description": text} if (text := schema.get(language, schema.get("description"))) else {}
    if "properties" in schema:
        return said | _object(schema, named, language)
    plain = {key: value for key, value in schema.items() if key not in (*_ANNOTATIONS, "description", "$defs")}
    if plain.get("default", ...) in (None, "", []):
        del plain["default"]
    if "const" in plain:
        plain["enum"] = [plain.pop("const")]
    if "anyOf" in plain:
        plain = _either(plain, [_value(branch, named, language) for branch in plain["anyOf"]])
    if isinstance(plain.get("items"), dict):
        plain["items"] = _value(plain["items"], named, language)
    return said | plain


def _without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    branches = [branch for branch in schema["anyOf"] if branch.get("type") != "null"]
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    return branches[0] | beside if len(branches) == 1 else beside | {"anyOf": branches}


def _either(schema: dict[str, Any], branches: list[dict[str, Any]]) -> dict[str, Any]:
    """``string or number`` is a list of types; only what cannot be said so remains a choice of schemas."""
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    if all(branch.keys() == {"type"} and isinstance(branch["type"], str) for branch in branches):
        return beside | {"type": [branch["type"] for branch in branches]}
    return beside | {"anyOf": branches}
