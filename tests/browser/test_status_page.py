"""The status page in Chromium: at desktop and phone size, in both themes and languages; it says what it should, all of it can
be read, and nothing is fetched from anywhere."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from core.charts.theme import contrast
from deployments.postgres import EmbeddedPostgres
from tests.api.serving import Served, beside, launched
from tests.api.test_status_page import SETTINGS, fill
from tests.core.status.filled import HOSTILE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"desktop": (1440, 900), "phone": (375, 812)}
READABLE = 4.5
"""Contrast that WCAG 2 asks of text (AA); 3 where it is large."""
TEXTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const hex = ([r, g, b]) => '#' + [r, g, b].map(part => part.toString(16).padStart(2, '0')).join('');
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const said = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join('');
    const box = element.getBoundingClientRect();
    if (!said || element.closest('svg, .hidden, .skip') || !box.width) continue;
    let ground = element;
    while (ground && rgba(getComputedStyle(ground).backgroundColor)[3] < 255) ground = ground.parentElement;
    const style = getComputedStyle(element);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 600);
    const behind = getComputedStyle(ground || document.body).backgroundColor;
    found.push([said.slice(0, 40), hex(rgba(style.color)), hex(rgba(behind)), large]);
  }
  return found;
}"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium fonts-wqy-microhei")


@dataclass
class Opened:
    """A page and what happened while it was loaded."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def watched(postgres: EmbeddedPostgres, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API whose database has been swept."""
    with launched(postgres, template_database, tmp_path_factory.mktemp("watched"), {}, settings=SETTINGS) as api:
        beside(fill(api.database_url))
        yield api


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def opened(browser: Browser, watched: Served, query: str, **how: Any) -> Opened:
    context = browser.new_context(http_credentials={"username": "me", "password": watched.token}, **how)
    seen = Opened(context.new_page())
    seen.page.on("console", lambda message: seen.complaints.append(message.text))
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.on("request", lambda request: seen.hosts.add(request.url.partition("?")[0]))
    answer = seen.page.goto(f"{watched.url}/status?{query}")
    assert answer is not None
    assert answer.status == 200
    return seen


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_is_readable_and_asks_nobody(browser: Browser, watched: Served, size: str, scheme: str, language: str) -> None:
    width, height = SIZES[size]
    locale = {"en": "en-GB", "zh": "zh-CN"}[language]
    seen = opened(browser, watched, "", viewport={"width": width, "height": height}, color_scheme=scheme, locale=locale)
    page = seen.page
    assert page.locator("h1").inner_text() == {"en": "数据库 is down", "zh": "数据库 故障"}[language]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    texts = page.evaluate(TEXTS)
    assert len(texts) > 60
    faint = [text for text in texts if contrast(text[1], text[2]) < (3.0 if text[3] else READABLE)]
    assert faint == []
    assert seen.complaints == []
    assert {host.removeprefix(watched.url) for host in seen.hosts if not host.startswith("data:")} == {"/status"}
    page.context.close()


def test_it_needs_no_script(browser: Browser, watched: Served) -> None:
    seen = opened(browser, watched, "lang=en", java_script_enabled=False)
    page = seen.page
    assert page.locator("tr.s-down").count() == 3
    assert page.locator("svg.graph g.n-down").count() == 3
    assert page.locator("svg.graph path.edge.bad").count() == 2
    page.get_by_role("link", name="Dark").click()
    page.get_by_role("link", name="中文").click()
    assert page.url.partition("?")[2] == "theme=dark&lang=zh"
    page.get_by_role("link", name="暂停").click()
    assert "refresh=0" in page.url
    assert page.locator("meta[http-equiv=refresh]").count() == 0
    page.context.close()


def test_the_theme_is_the_devices_unless_it_is_chosen(browser: Browser, watched: Served) -> None:
    grounds = {}
    for scheme, query in (("light", ""), ("dark", ""), ("light", "theme=dark"), ("dark", "theme=light")):
        seen = opened(browser, watched, query, color_scheme=scheme)
        grounds[scheme, query] = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        seen.page.context.close()
    assert grounds["light", ""] == grounds["dark", "theme=light"] != grounds["dark", ""] == grounds["light", "theme=dark"]


def test_no_text_of_a_service_becomes_markup(browser: Browser, watched: Served) -> None:
    seen = opened(browser, watched, "lang=en")
    page = seen.page
    assert page.locator("img, script, iframe, [onerror]").count() == 0
    assert page.get_by_text(HOSTILE).count() >= 3
    assert seen.complaints == []
    page.context.close()
