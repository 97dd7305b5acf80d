"""Names of files: what becomes of them in keys, headers and links."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.files import KEY, BaseLinks, disposition, new_key, shown_name


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("chart.svg", "chart.svg"),
        ("Quarter 3 (final).PNG", "Quarter-3-final.PNG"),
        ("销量.svg", "file.svg"),
        ("2026年销量.svg", "2026.svg"),
        ("résumé.pdf", "resume.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.csv", "a.csv"),
        (".svg", "svg"),
        ("", "file"),
        ("a" * 300 + ".tar.gz", "a" * 60 + ".gz"),
    ],
)
def test_a_key_tells_the_name_as_far_as_ascii_can(name: str, ending: str) -> None:
    key = new_key(name)
    assert key[32:] == f"-{ending}"
    assert KEY.fullmatch(key)


@given(st.text(max_size=400))
def test_any_name_makes_a_key_a_name_and_a_header(name: str) -> None:
    assert KEY.fullmatch(new_key(name))
    shown = shown_name(name)
    assert 0 < len(shown) <= 150
    assert not set("/\\\r\n\0") & set(shown)
    disposition(shown, "image/svg+xml").encode("ascii")


def test_no_two_keys_are_alike() -> None:
    assert len({new_key("chart.svg")[:32] for _ in range(1000)}) == 1000


def test_a_long_name_keeps_its_ending() -> None:
    assert shown_name("销" * 300 + ".svg") == "销" * 146 + ".svg"


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("image/svg+xml", "inline"),
        ("image/png", "inline"),
        ("application/pdf", "inline"),
        ("text/plain", "inline"),
        ("text/html", "attachment"),
        ("application/zip", "attachment"),
    ],
)
def test_browsers_open_pictures_and_save_the_rest(media_type: str, kind: str) -> None:
    assert disposition("a b.x", media_type) == f"{kind}; filename=\"a b.x\"; filename*=UTF-8''a%20b.x"


def test_a_name_cannot_end_its_header() -> None:
    said = disposition('a";\\ x="销', "image/png")
    assert said == "inline; filename=\"a_;_ x=__\"; filename*=UTF-8''a%22%3B%5C%20x%3D%22%E9%94%80"


@pytest.mark.parametrize("base", ["http://host/files", "http://host/files/", "http://host/files//"])
async def test_a_base_and_a_key_meet_in_one_slash(base: str) -> None:
    assert await BaseLinks(base).url("a b.svg") == "http://host/files/a%20b.svg"
