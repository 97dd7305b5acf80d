"""Providers that are away, that change their keys, that say what they should not, and that refuse us."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from structlog.testing import capture_logs

from blocks.github_oauth import GithubOauth
from blocks.identity_http import MOST, Told
from blocks.oidc_keys import OidcKeys
from blocks.oidc_provider import DISCOVERY, OidcProvider
from core.errors import DirectoryUnavailable, LoginRefused
from core.identity.oidc import Begun, LoginsElsewhere
from core.identity.oidc_tokens import Invalid
from core.settings_oidc import OidcSettings
from tests.blocks.probes.serving import serving
from tests.identity_provider import CLIENT, SECRET, Provider, identity_provider

BACK = "http://127.0.0.1/auth/oidc/own/callback"


@pytest.fixture(scope="module")
def own() -> Iterator[Provider]:
    with identity_provider() as provider:
        yield provider


def provider(issuer: str, **more: Any) -> OidcProvider:
    given = {"issuer": issuer, "client_id": CLIENT, "client_secret": SECRET, "timeout": 2}
    return OidcProvider("own", OidcSettings.model_validate(given | more))


def begun() -> Begun:
    return LoginsElsewhere("a secret of this test and of nobody else").begin("own", "/docs")[0]


class Keys:
    """What a provider has for keys at the moment, and how often it was asked."""

    def __init__(self, own: Provider) -> None:
        self.own, self.away, self.asked = own, False, 0

    async def ask(self) -> Told:
        self.asked += 1
        if self.away:
            raise DirectoryUnavailable("It is away.")
        return Told(200, self.own.jwks())


async def test_new_keys_are_asked_for_once_in_a_while_and_old_ones_forgotten() -> None:
    own = Provider(issuer="https://login.example.com")
    source = Keys(own)
    keys = OidcKeys("own", source.ask, again=3600)
    old = own.signed()
    assert (await keys.verified(old, own.issuer, (CLIENT,)))["sub"] == "ann"
    own.rotate(ec.generate_private_key(ec.SECP256R1()), "second")
    assert (await keys.verified(own.signed(sub="bob"), own.issuer, (CLIENT,)))["sub"] == "bob"
    for token in (old, own.signed(iss="https://evil.example"), own.signed(aud="another")):
        with pytest.raises(Invalid):
            await keys.verified(token, own.issuer, (CLIENT,))
    assert source.asked == 2
    own.rotate(rsa.generate_private_key(65537, 2048), "second")
    with pytest.raises(Invalid):  # the name of a known key, and another kind of key
        await keys.verified(own.signed(), own.issuer, (CLIENT,))


async def test_known_keys_count_while_the_provider_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Provider(issuer="https://login.example.com")
    source = Keys(own)
    source.away = True
    keys = OidcKeys("own", source.ask, again=0)
    with pytest.raises(DirectoryUnavailable):
        await keys.verified(own.signed(), own.issuer, (CLIENT,))
    with pytest.raises(DirectoryUnavailable):
        await keys.verified(own.signed(), own.issuer, (CLIENT,))
    assert source.asked == 1, "not asked all the time while it is away"
    monkeypatch.setattr("blocks.oidc_keys.AWAY_SECONDS", 0.0)
    source.away = False
    await keys.verified(own.signed(), own.issuer, (CLIENT,))
    source.away = True
    own.key_id = "made up"
    with pytest.raises(Invalid):
        await keys.verified(own.signed(), own.issuer, (CLIENT,))
    own.key_id = "first"
    assert (await keys.verified(own.signed(), own.issuer, (CLIENT,)))["sub"] == "ann"


async def test_what_cannot_be_a_provider_is_away_in_words(own: Provider) -> None:
    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": own.url + DISCOVERY})

    async def endless(request: web.Request) -> web.Response:
        return web.Response(body=b" " * (MOST + 1))

    async def another(request: web.Request) -> web.Response:
        return web.json_response({"issuer": "https://evil.example"})

    async def script(request: web.Request) -> web.Response:
        issuer = f"http://{request.host}/script"
        return web.json_response({"issuer": issuer, "authorization_endpoint": "javascript:alert(1)"})

    said = {"redirect": redirect, "endless": endless, "another": another, "script": script}
    async with serving({f"/{name}{DISCOVERY}": handler for name, handler in said.items()}) as port:
        for name, words in {
            "redirect": "answer",
            "endless": "answer",
            "another": "issuer",
            "script": "endpoint",
            "none": "answer",
        }.items():
            with pytest.raises(DirectoryUnavailable) as caught:
                await provider(f"http://127.0.0.1:{port}/{name}").leads(begun(), BACK)
            assert words in caught.value.message, name
            assert "evil" not in caught.value.message


async def test_a_provider_that_refuses_us_is_no_fault_of_whoever_logs_in(own: Provider) -> None:
    one = begun()
    with capture_logs() as logs:
        ours = provider(own.url, client_secret="another")
        code = own.authorize(await ours.leads(one, BACK))
        with pytest.raises(DirectoryUnavailable, match=r"oidc\.own\.client_secret"):
            await ours.person(one, code, BACK)
    assert [line["event"] for line in logs] == ["oidc_client_refused"]
    right = provider(own.url)
    with pytest.raises(LoginRefused):
        await right.person(begun(), code, BACK)  # another verifier than the one that it was begun with
    assert [secret for secret in (code, one.verifier, SECRET) if secret in str(logs)] == []


async def test_userinfo_adds_what_the_token_lacks_of_the_same_person(own: Provider) -> None:
    ours = provider(own.url, userinfo=True, groups={"staff": "operator"})
    for told, role in (
        ({"sub": "ann", "groups": ["staff"], "name": "Ann"}, "operator"),
        ({"sub": "bob", "groups": ["staff"]}, None),
    ):
        own.answers["/userinfo"] = told
        one = begun()
        code = own.authorize(await ours.leads(one, BACK), name="Signed")
        if role is None:
            with pytest.raises(LoginRefused):
                await ours.person(one, code, BACK)
        else:
            person = await ours.person(one, code, BACK)
            assert (person.role, person.name) == (role, "Signed")


async def test_githubs_own_addresses() -> None:
    github = GithubOauth(
        "github", OidcSettings(kind="github", client_id=CLIENT, required_group="us"), Path(__file__).parent / "none"
    )
    address = await github.leads(begun(), BACK)
    assert address.startswith("https://github.com/login/oauth/authorize?client_id=pilothouse&")
    assert "scope=read%3Auser+user%3Aemail+read%3Aorg" in address
    assert await github.bearer("gho_of_somebody") is None
