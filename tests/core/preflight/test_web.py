"""Which pages may call, and whether what people send can be read on the way."""

import pytest

from core.preflight.secrets import Given
from core.preflight.web import cors, tls
from core.sweeps.observation import Observation

GOOD = Observation("up")
SOON = Observation("degraded", "expires_soon", "Its certificate ends in 9 days: renew it.")
OVER = Observation("down", "expired", "It has ended 3 days ago: renew it.")
CLOSED = Observation("down", "refused", "It refused the connection.")
AWAY = Observation("unreachable", "timeout", "Nobody answered.")


@pytest.mark.parametrize(
    ("origins", "status"),
    [
        (["*"], "fail"),
        (["https://a.example", "*"], "fail"),
        (["http://a.example"], "warn"),
        (["https://a.example", "http://localhost:3000"], "pass"),
        ([], "pass"),
    ],
)
def test_cors(origins: list[str], status: str) -> None:
    item = cors([Given("cors_origins", each) for each in origins])
    assert (item.id, item.status) == ("cors", status)


@pytest.mark.parametrize(
    ("host", "public", "own", "outside", "status"),
    [
        ("0.0.0.0", None, None, None, "fail"),
        ("0.0.0.0", "https://a.example", None, GOOD, "warn"),
        ("0.0.0.0", None, GOOD, None, "pass"),
        ("0.0.0.0", None, SOON, None, "warn"),
        ("0.0.0.0", None, OVER, None, "fail"),
        ("127.0.0.1", "http://a.example", None, None, "fail"),
        ("127.0.0.1", "http://localhost:8700", None, None, "pass"),
        ("127.0.0.1", "https://a.example", None, GOOD, "pass"),
        ("127.0.0.1", "https://a.example", None, OVER, "fail"),
        ("127.0.0.1", "https://a.example", None, AWAY, "warn"),
        ("127.0.0.1", "https://a.example", None, CLOSED, "warn"),
        ("127.0.0.1", None, None, None, "pass"),
    ],
)
def test_tls(host: str, public: str | None, own: Observation | None, outside: Observation | None, status: str) -> None:
    item = tls(host, public, own, outside)
    assert (item.id, item.status) == ("tls", status)
    assert bool(item.todo) == (status != "pass")
