"""OpenID Connect: a real provider, and one that says what tests want."""

import json
import warnings
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.blocks.probes.looking import seen
from tests.blocks.probes.serving import serving

RSA = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key()))
CURVE = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
ISSUER = "https://login.example.com"


async def told(discovery: Any, keys: Any, **service: Any) -> Any:
    """What is seen of a provider with this discovery document and these keys; ``{}`` in a text is its own address."""
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        what = keys if request.path == "/keys" else discovery
        if what is None:
            return web.Response(status=404)
        return web.Response(text=what if isinstance(what, str) else json.dumps(what).replace("{}", f"http://{request.host}"))

    routes = {"/realm/.well-known/openid-configuration": answer, "/keys": answer}
    async with serving(routes) as port:
        if "jwks_url" in service:
            service["jwks_url"] = f"http://127.0.0.1:{port}/keys"
        found = await seen("oidc", f"http://127.0.0.1:{port}/realm", None, **service)
    assert all("Authorization" not in request.headers for request in asked if request.path == "/keys")
    return found


async def test_a_real_provider() -> None:
    with warnings.catch_warnings():
        import authlib.deprecate  # type: ignore[import-untyped] # noqa: F401, PLC0415 - it turns its own warnings on

        warnings.simplefilter("ignore")  # what the provider stands on has just been renamed
        from oidc_provider_mock import run_server_in_thread  # type: ignore[import-untyped] # noqa: PLC0415
    with run_server_in_thread() as server:
        base = f"http://localhost:{server.server_port}"
        found = await seen("oidc", base)
        assert (found.state, found.code, found.facts["keys"]) == ("up", "ok", 1)
        assert (await seen("oidc", f"{base}/.well-known/openid-configuration", issuer=base)).state == "up"
        other = await seen("oidc", base, issuer=ISSUER)
    assert (other.state, other.code) == ("down", "issuer")
    assert ISSUER in other.message


@pytest.mark.parametrize(
    ("discovery", "keys", "service", "state", "code"),
    [
        ({"issuer": "{}/realm", "jwks_uri": "{}/keys"}, {"keys": [RSA]}, {}, "up", "ok"),
        ({"issuer": "{}/realm/", "jwks_uri": "{}/keys"}, {"keys": [CURVE | {"use": "sig"}]}, {}, "up", "ok"),
        ({"issuer": ISSUER, "jwks_uri": "{}/keys"}, {"keys": [RSA]}, {}, "degraded", "issuer"),
        ({"issuer": ISSUER, "jwks_uri": "{}/keys"}, {"keys": [RSA]}, {"issuer": ISSUER}, "up", "ok"),
        ({"issuer": f"{ISSUER}/", "jwks_uri": "{}/keys"}, {"keys": [RSA]}, {"issuer": ISSUER}, "down", "issuer"),
        (
            {"issuer": ISSUER, "jwks_uri": "http://in-network.invalid/keys"},
            {"keys": [RSA]},
            {"issuer": ISSUER, "jwks_url": True, "username": "u", "password": "p"},
            "up",
            "ok",
        ),
        ({"issuer": ISSUER, "jwks_uri": "http://in-network.invalid/keys"}, None, {"issuer": ISSUER}, "down", "name"),
        ({"issuer": "{}/realm", "jwks_uri": "{}/keys"}, {"keys": [RSA | {"use": "enc"}]}, {}, "down", "keys"),
        ({"issuer": "{}/realm", "jwks_uri": "{}/keys"}, {"keys": []}, {}, "down", "keys"),
        ({"issuer": "{}/realm", "jwks_uri": "{}/keys"}, {"keys": [{"kty": "RSA", "n": "AQAB"}]}, {}, "down", "keys"),
        ({"issuer": "{}/realm", "jwks_uri": "{}/keys"}, {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}, {}, "down", "keys"),
        ({"issuer": "{}/realm", "jwks_uri": "{}/keys"}, {"keys": "none"}, {}, "down", "keys"),
        ({"issuer": "{}/realm", "jwks_uri": "{}/keys"}, {"other": 1}, {}, "down", "keys"),
        ({"issuer": "{}/realm", "jwks_uri": "{}/keys"}, None, {}, "down", "status"),
        ({"issuer": "{}/realm"}, {"keys": [RSA]}, {}, "down", "discovery"),
        ({"issuer": "{}/realm", "jwks_uri": "file:///etc/passwd"}, {"keys": [RSA]}, {}, "down", "discovery"),
        ({"jwks_uri": "{}/keys"}, {"keys": [RSA]}, {}, "down", "discovery"),
        ("<html>Login</html>", None, {}, "down", "json"),
        ([], None, {}, "down", "json"),
        (None, None, {}, "down", "status"),
    ],
)
async def test_what_a_provider_says(discovery: Any, keys: Any, service: dict[str, Any], state: str, code: str) -> None:
    found = await told(discovery, keys, **service)
    assert (found.state, found.code) == (state, code)
    assert "hunter" not in found.message
    assert "html" not in found.message


async def test_the_keys_address_may_not_lead_to_metadata() -> None:
    found = await told({"issuer": "{}/realm", "jwks_uri": "http://169.254.169.254/keys"}, None)
    assert found.state == "down"
    assert (found.code, "metadata" in found.message) == ("redirect", True)
