"""The status page as HTML: one page with its style in it, that asks nobody for anything and runs no script."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal
from urllib.parse import quote, urlencode

from api.pages.page import headers, style_of, template
from core.status import layout, pictures, words
from core.status.view import STATES, PlatformView, ServiceView, StatusView
from core.sweeps.observation import State

STYLE = style_of("status.css")
HEADERS = headers(STYLE)
_ICONS: Mapping[str, tuple[str, str]] = {
    "ok": ("#10693a", "<circle cx='8' cy='8' r='7' fill='{}'/>"),
    "warning": ("#c98500", "<path d='M8 1 15 14H1z' fill='{}'/>"),
    "critical": ("#c4221a", "<rect x='1' y='1' width='14' height='14' rx='3' fill='{}'/>"),
    "unknown": ("#6b7683", "<circle cx='8' cy='8' r='6' fill='none' stroke-width='2' stroke='{}'/>"),
}
Theme = Literal["", "light", "dark"]


@dataclass(frozen=True, slots=True)
class Look:
    """How somebody wants to see the page. ``theme`` empty: as the device has it; ``refresh`` in seconds, 0: never."""

    language: words.Language
    zone: tzinfo
    theme: Theme = ""
    refresh: int = 30
    query: tuple[tuple[str, str], ...] = ()
    """What the address says already, which links keep."""
    user: str = ""
    """Whose login a browser shows the page by, for the button that ends it; empty for others."""


def status_page(view: StatusView, look: Look) -> str:
    """The whole page; every text of a service or an alert is escaped."""
    return template("status.html").render(view=view, **_tools(view, look))


def plain_page(name: Literal["door.html", "away.html"], look: Look, now: datetime) -> str:
    """A page without any fact on it."""
    return template(name).render(**_tools(StatusView(now), look))


def _tools(view: StatusView, look: Look) -> dict[str, object]:
    """What the templates may call."""
    language, now = look.language, view.now
    said = words.WORDS[language]

    def span(seconds: float) -> str:
        return words.span(seconds, language)

    def span_since(at: datetime) -> str:
        return span(max(1.0, (now - at).total_seconds()))

    def since(at: datetime) -> str:
        return said["just_now"] if (now - at).total_seconds() < 1 else said["ago"].replace("{span}", span_since(at))

    def say(key: str, **values: object) -> str:
        text = said[key]
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    return {
        "look": look,
        "t": said,
        "say": say,
        "style": STYLE,
        "headline": _headline(view, said),
        "favicon": _favicon(view.overall),
        "clock": f"{now.astimezone(look.zone):%Y-%m-%d %H:%M:%S %Z}",
        "iso": lambda at: at.astimezone(UTC).isoformat(timespec="seconds"),
        "moment": lambda at: words.moment(at, now, look.zone),
        "since": since,
        "span": span,
        "span_since": span_since,
        "span_between": lambda start, end: span(max(1.0, (end - start).total_seconds())),
        "spans": {"day": "24 h" if language == "en" else "24 小时", "week": span(7 * 86400), "quarter": span(90 * 86400)},
        "percent": words.percent,
        "latency": words.latency,
        "size": words.size,
        "sparkline": lambda values: pictures.sparkline(values, 104, 26),
        "bars": lambda shares: pictures.bars(shares, 3, 24),
        "picture": _picture,
        "box_width": layout.WIDTH,
        "box_height": layout.HEIGHT,
        "mix": _mix,
        "link": lambda **changed: _link(look, changed),
        "troubled_channels": [each for each in view.channels if each.waiting or each.given_up],
    }


def _picture(services: Iterable[ServiceView]) -> layout.Picture | None:
    return layout.picture(layout.Item(each.key, each.title, each.state, each.needs, each.hints) for each in services)


def _mix(platform: PlatformView) -> Iterator[tuple[State, int, int]]:
    """State, start and length of each piece of a platform's bar."""
    at = 0
    for state in STATES:
        count = platform.counts.get(state, 0)
        if count:
            yield state, at, count
        at += count


def _link(look: Look, changed: Mapping[str, object]) -> str:
    """This page with other options; one of None is left out."""
    query = dict(look.query)
    for name, value in changed.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    return f"?{urlencode(query)}" if query else "?"


def _headline(view: StatusView, said: Mapping[str, str]) -> str:
    """The one thing to know: what is down, where that is one thing."""
    down = [trouble.service for trouble in view.troubles if trouble.service.state == "down"]
    if view.overall == "critical" and len(down) == 1 and not view.more_troubles:
        return said["one_down"].replace("{title}", down[0].title)
    if view.overall == "critical":
        return said["many_down"].replace("{n}", str(view.counts["down"]))
    if view.overall == "warning" and not view.counts["degraded"]:
        return said["overdue_short"]
    return said["unknown_all"] if view.overall == "unknown" else said[view.overall]


def _favicon(overall: str) -> str:
    colour, shape = _ICONS[overall]
    drawn = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{shape.format(colour)}</svg>"
    return f"data:image/svg+xml,{quote(drawn)}"
