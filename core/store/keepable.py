"""Values as PostgreSQL can keep them."""

import orjson


def keepable(text: str) -> str:
    """``text`` of the same length that PostgreSQL can keep: a model may say NUL, a database text may not."""
    return text.replace("\x00", "\ufffd")


def as_json(value: object) -> str | None:
    """A JSON document for a ``jsonb`` column; None stays None, which is SQL's null."""
    if value is None:
        return None
    text = orjson.dumps(value).decode()
    return orjson.dumps(_keepable(value)).decode() if "\\u0000" in text else text


def _keepable(value: object) -> object:
    match value:
        case str():
            return keepable(value)
        case dict():
            return {keepable(key): _keepable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_keepable(inner) for inner in value]
        case _:
            return value
