"""What a check before production says: fit, doubtful or unfit, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "warn", "fail"]
SHOWN = 8
"""Names that one message lists."""


@dataclass(frozen=True, slots=True)
class Item:
    """One check. ``message`` says what is, ``todo`` what to do (empty where all is well); neither holds a secret."""

    id: str
    status: Status
    message: str
    todo: str = ""

    def shown(self) -> dict[str, str]:
        """As programs read it."""
        return {"id": self.id, "status": self.status, "message": self.message, "todo": self.todo}


def judged(name: str, wrong: Sequence[str], doubtful: Sequence[str], good: str, todo: str) -> Item:
    """Unfit by anything that is wrong, doubtful by anything else that is told, else good."""
    told = [_sentence(each) for each in (*wrong, *doubtful)]
    if not told:
        return Item(name, "pass", _sentence(good))
    return Item(name, "fail" if wrong else "warn", " ".join(told), todo)


def unseen(name: str, why: str, todo: str) -> Item:
    """What could not be looked at, which is no proof that it is well."""
    return Item(name, "warn", f"Not looked at: {_sentence(why)}", todo)


def listed(names: Iterable[str]) -> str:
    """Names in a sentence; of many the first, and how many more."""
    found = list(dict.fromkeys(names))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
