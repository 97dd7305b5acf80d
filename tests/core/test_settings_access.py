"""What ``[access]`` takes."""

import pytest
from pydantic import ValidationError

from core.settings_access import AccessSettings


@pytest.mark.parametrize("given", ["example.com", ".Example.com "])
def test_a_cookies_domain_is_a_name(given: str) -> None:
    assert AccessSettings.model_validate({"cookie_domain": given}).cookie_domain == "example.com"


@pytest.mark.parametrize(
    "given", ["", "com", "localhost", "127.0.0.1", "https://example.com", "example.com:443", "a..b", "-a.b", "a.b;x=y"]
)
def test_what_browsers_take_no_cookie_for_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match=r"such as example\.com"):
        AccessSettings.model_validate({"cookie_domain": given})
