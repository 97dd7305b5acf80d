"""What Docker Compose says when it refuses a project, or warns of something, in words that say where and what to do."""

import re
from collections.abc import Iterable
from pathlib import Path

from core.errors import ConfigurationInvalid

LONGEST = 600
_LOG = re.compile(r'^time="[^"]*" level=(\w+) msg="((?:[^"\\]|\\.)*)"')
_UNSET = re.compile(r'The "(\w+)" variable is not set')
_OBSOLETE = re.compile(r"the attribute .version. is obsolete")
_KEYS = re.compile(r"\bservices\.([\w.-]+?)(?:[ :\[]|$)")
_LINE = re.compile(r"\bline (\d+)")
_CONTENT = (
    (re.compile(r"( near | value |variable name )[\"'].*", re.DOTALL), r"\1[left out]"),
    (
        re.compile(r"(invalid interpolation format for [\w.\[\]-]*\w).*", re.DOTALL),
        r"\1; a dollar sign of its own is written as $$",
    ),
    (re.compile(r"`[^`\n]*`"), "`…`"),
    (re.compile(r"(?<= )'(?![\w.-]{1,64}'|.')[^'\n]*'"), "'…'"),
)
"""Words of a file that Compose repeats; they may be a secret's."""
_NEXT = (
    (r"remote resource is disabled|/https?:/", "Nothing is fetched: put the included files on this machine and include those."),
    (r"depends on undefined service", "Add the profile or the file that has it (--profile, a further file)."),
    (r"required variable", "Set it in the .env beside the file, or name one by --env-file; no other environment is read."),
    (r"(no such file|not found)", "Put the file there, or correct its path."),
    (r"additional propert", "Correct the key's name."),
)


def unset_of(said: str) -> tuple[str, ...]:
    """The variables that Compose says are not set."""
    return tuple(dict.fromkeys(_UNSET.findall(_unquoted(said))))


def warning_of(line: str) -> str | None:
    """Another warning as a finding's sentence; None for what says nothing of the project."""
    told = _LOG.match(line)
    if told is None or told.group(1) != "warning":
        return None
    message = _unquoted(told.group(2))
    if _UNSET.search(message):
        return None
    if _OBSOLETE.search(message):
        return f"{message.partition(':')[0]}: `version` is obsolete and ignored."
    return _shown(message)


def refusal(said: str, files: Iterable[str], folder: Path) -> ConfigurationInvalid:
    """One line with file, line where it is known, what Compose says, and what to do next."""
    lines = [line for line in said.splitlines() if not _LOG.match(line) and line.strip()]
    message = " ".join(line.strip() for line in lines) or "Docker Compose refused it and said nothing"
    if "goroutine " in message or "runtime error" in message or message.startswith("fatal error"):
        message = "Docker Compose broke off while reading it"
    named = [file for file in files if file != "-"]
    at = next((file for file in named if str(Path(file).absolute()) in message or file in message), None)
    place = ", ".join(named or ["standard input"]) if at is None else at
    if at is None or not _LINE.search(message):
        place += _line(message, [at] if at is not None else named, folder)
    advice = next((sentence for pattern, sentence in _NEXT if re.search(pattern, message)), "")
    shown = _shown(message.removeprefix(f"validating {Path(at).absolute()}: ") if at is not None else message)
    return ConfigurationInvalid(f"{place}: {shown}{'' if shown.endswith('.') else '.'}{' ' + advice if advice else ''}")


def _line(message: str, files: Iterable[str], folder: Path) -> str:
    """``, line 12`` of the key that the message names, where the files are plain enough to find it by its words."""
    keys = _KEYS.search(message)
    path = ["services", *keys.group(1).split(".")] if keys else []
    if not path and (service := re.search(r'service "([\w.-]+)"', message)):
        path = ["services", service.group(1)]
    if unknown := re.search(r"additional properties '([^']+)'", message):
        path.append(unknown.group(1))
    best: tuple[int, int] = (0, 0)
    for file in files:
        try:
            lines = (folder / file).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        at, depth = 0, 0
        for key in path:
            found = next((n for n in range(at, len(lines)) if re.match(rf"\s*['\"]?{re.escape(key)}['\"]?\s*:", lines[n])), None)
            if found is None:
                break
            at, depth = found + 1, depth + 1
        best = max(best, (depth, at))
    return f", line {best[1]}" if best[0] > 1 else ""


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _shown(text: str) -> str:
    for pattern, replacement in _CONTENT:
        text = pattern.sub(replacement, text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
