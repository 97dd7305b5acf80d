"""Pictures in answers: whatever their words are, they stay pictures, and models do not see where they are."""

import pytest

from core.markdown import link, picture, without_pictures

URL = "http://host:1/files/a_b.svg"


@pytest.mark.parametrize(
    "alt", ["Sales", "", "a]b[c](http://evil) `x` *y* _z_ <b>", "two\nlines", "back\\slash", "饼图：50%", "![x](y)", "x" * 500]
)
def test_a_picture_is_one_line_and_comes_out_whole(alt: str) -> None:
    text = picture(URL, alt)
    assert text.endswith(f"]({URL})\n\n")
    assert "\n" not in text[:-2]
    assert len(text) < 600
    seen = without_pictures({"role": "assistant", "content": f"Before\n\n{text}after"})["content"]
    assert "http://host" not in seen
    assert seen.startswith("Before\n\n(A picture was shown here")
    assert seen.endswith("\n\nafter")
    if alt and len(alt) < 200:
        assert " ".join(alt.split()) in seen


def test_an_address_cannot_end_the_link_early() -> None:
    assert link("http://host/a (b) <c>", "name.csv") == "[name.csv](http://host/a%20%28b%29%20%3Cc%3E)\n\n"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": f"![mine]({URL})"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "content": "no picture! [link](http://host/x)"},
        {"role": "assistant", "content": [{"type": "text", "text": "parts"}]},
    ],
)
def test_other_messages_stay_as_they_are(message: dict[str, object]) -> None:
    assert without_pictures(dict(message)) == message
