"""Logins by other providers against the real API: a browser's way there and back, what attackers get, and bearer tokens."""

import warnings
from collections.abc import AsyncGenerator, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from core.config import DatabaseSettings
from core.store.base import Store
from core.store.users import User, Users
from deployments.postgres import EmbeddedPostgres
from tests.api.serving import Served, beside, launched
from tests.identity_provider import CLIENT, SECRET, Provider, identity_provider
from tests.ports import free_port
from tests.waiting import eventually

APART = "http://login.example.com/realms/company"


@pytest.fixture(scope="module")
def own() -> Iterator[Provider]:
    with identity_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def apart() -> Iterator[Provider]:
    """A provider that people reach at another address than we do."""
    with identity_provider(APART) as provider:
        yield provider


@pytest.fixture(scope="module")
def foreign() -> Iterator[str]:
    """The address of a provider that others wrote."""
    with warnings.catch_warnings():
        import authlib.deprecate  # type: ignore[import-untyped] # noqa: F401, PLC0415 - it turns its own warnings on

        warnings.simplefilter("ignore")  # what the provider stands on has just been renamed
        from oidc_provider_mock import run_server_in_thread  # type: ignore[import-untyped] # noqa: PLC0415
    with run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture(scope="module")
def away() -> str:
    """Where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def served(
    postgres: EmbeddedPostgres,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
    own: Provider,
    apart: Provider,
    foreign: str,
    away: str,
) -> Iterator[Served]:
    client = f'client_id = "{CLIENT}"\nclient_secret = "env:CLIENT_SECRET"\ntimeout = 3'
    settings = f"""
        [oidc.own]
        issuer = "{own.url}"
        {client}
        label = "Our <own>"
        groups = {{ operators = "operator", "/admins" = "admin" }}
        groups_claims = ["groups", "roles", "owner"]
        workspaces = {{ Physics = "research", leads = "research:admin", "our-company" = "sales:viewer" }}
        [oidc.members]
        issuer = "{own.url}"
        {client}
        required_group = "members"
        allowed = ["@example.com"]
        [oidc.apart]
        issuer = "{APART}"
        internal_url = "{apart.url}"
        {client}
        audience = ["another-program"]
        [oidc.foreign]
        issuer = "{foreign}"
        {client}
        [oidc.away]
        issuer = "{away}"
        {client}
        [oidc.github]
        kind = "github"
        issuer = "{own.url}"
        {client}
        required_group = "our-organisation"
    """
    folder = tmp_path_factory.mktemp("api")
    environment = {"CLIENT_SECRET": SECRET, "ADMIN_EMAIL": "root@example.com", "ADMIN_PASSWORD": "correct horse battery"}
    with launched(postgres, template_database, folder, {}, environment=environment, settings=settings) as api:
        yield api


@pytest.fixture
async def browser(served: Served) -> AsyncGenerator[httpx.AsyncClient, None]:
    async with httpx.AsyncClient(base_url=served.url, timeout=30, trust_env=False) as client:
        yield client


async def begun(browser: httpx.AsyncClient, name: str = "own", where: str = "/docs") -> str:
    """The address that the browser is sent to."""
    answer = await browser.get(f"/auth/oidc/{name}/login", params={"next": where})
    assert (answer.status_code, answer.headers["cache-control"]) == (303, "no-store"), answer.text
    return answer.headers["location"]


async def back(browser: httpx.AsyncClient, address: str, code: str, name: str = "own", **more: str) -> httpx.Response:
    state = dict(parse_qsl(urlsplit(address).query))["state"]
    return await browser.get(f"/auth/oidc/{name}/callback", params={"state": state, "code": code} | more)


async def logged_in(browser: httpx.AsyncClient, provider: Provider, name: str = "own", **claims: Any) -> httpx.Response:
    address = await begun(browser, name)
    return await back(browser, address, provider.authorize(address, **claims), name)


async def me(client: httpx.AsyncClient, token: str | None = None) -> httpx.Response:
    return await client.get("/auth/me", headers={"Authorization": f"Bearer {token}"} if token else {})


def user_of(served: Served, source: str, login: str) -> User:
    async def found() -> User:
        store = Store.from_settings(DatabaseSettings.model_validate({"url": served.database_url}))
        try:
            return next(user for user in await Users(store).list() if (user.source, user.login) == (source, login))
        finally:
            await store.aclose()

    return beside(found())


async def test_a_browser_logs_in_and_goes_on(served: Served, browser: httpx.AsyncClient, own: Provider) -> None:
    address = await begun(browser)
    asked = dict(parse_qsl(urlsplit(address).query))
    assert (asked["redirect_uri"], asked["tenant"]) == (f"{served.url}/auth/oidc/own/callback", "1")
    assert set(asked["scope"].split()) == {"openid", "profile", "email"}
    code = own.authorize(address, name="Ann", email="ann@example.com", groups=["others", "operators"])
    answer = await back(browser, address, code)
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
    assert all(each in answer.headers["set-cookie"] for each in ("HttpOnly", "SameSite=lax", "pilothouse_login="))
    said = (await me(browser)).json()
    assert (said["name"], "flows:*" in said["scopes"]) == ("Ann", True)
    assert user_of(served, "oidc:own", "ann").email == "ann@example.com"


@pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")  # the provider's, in its thread
async def test_a_provider_that_others_wrote(browser: httpx.AsyncClient, served: Served, foreign: str) -> None:
    address = await begun(browser, "foreign")
    async with httpx.AsyncClient(trust_env=False) as person:
        answer = await person.post(address, data={"sub": "Bob@example.com"})
    came = answer.headers["location"]
    assert came.startswith(f"{served.url}/auth/oidc/foreign/callback?")
    assert (await browser.get(came)).headers["location"] == "/docs"
    assert (await me(browser)).json()["name"] == "Bob@example.com"
    again = await browser.get(came)
    assert (again.status_code, "log in again" in again.text) == (400, True)


async def test_keys_and_codes_from_where_we_reach_it(browser: httpx.AsyncClient, apart: Provider) -> None:
    address = await begun(browser, "apart")
    assert address.startswith(f"{APART}/authorize")
    assert (await back(browser, address, apart.authorize(address), "apart")).status_code == 303
    assert {host for host, _ in apart.asked} == {"login.example.com"}
    assert {"/realms/company/token", "/realms/company/keys"} <= {path for _, path in apart.asked}


def claims_of_attacks(own: Provider) -> dict[str, dict[str, Any]]:
    fair: dict[str, Any] = jwt.decode(own.signed(), options={"verify_signature": False})
    head, said, signature = own.signed(sub="bob").split(".")
    return {
        "nonce": {"nonce": "another"},
        "no nonce": {"nonce": None},
        "audience": {"aud": "another"},
        "party": {"azp": "another"},
        "no party": {"aud": [CLIENT, "another"]},
        "issuer": {"iss": "https://evil.example"},
        "expired": {"exp": fair["iat"] - 60},
        "not yet": {"nbf": fair["iat"] + 600},
        "from tomorrow": {"iat": fair["iat"] + 86_400},
        "no subject": {"sub": None},
        "altered": {"token": f"{head}.{own.signed(sub='root').split('.')[1]}.{signature}"},
        "unsigned": {"token": jwt.encode(fair, "", "none")},
        "hmac": {"token": own.signed_with_the_public_key(**fair)},
        "no token": {"token": said},
    }


ATTACKS = ["nonce", "no nonce", "audience", "party", "no party", "issuer", "expired", "not yet", "from tomorrow", "no subject"]


@pytest.mark.parametrize("attack", [*ATTACKS, "altered", "unsigned", "hmac", "no token"])
async def test_a_wrong_answer_lets_nobody_in(browser: httpx.AsyncClient, own: Provider, attack: str) -> None:
    answer = await logged_in(browser, own, **claims_of_attacks(own)[attack])
    assert (answer.status_code, "could not be accepted" in answer.text) == (400, True)
    assert (await me(browser)).status_code == 401


async def test_a_login_counts_once_and_in_its_own_browser(served: Served, browser: httpx.AsyncClient, own: Provider) -> None:
    address = await begun(browser)
    held = browser.cookies["pilothouse_elsewhere"]
    code = own.authorize(address)
    async with httpx.AsyncClient(base_url=served.url, timeout=30, trust_env=False) as victim:
        assert (await back(victim, address, code)).status_code == 400, "a browser without any login on its way"
        await begun(victim)
        assert (await back(victim, address, code)).status_code == 400, "another browser's login"
    assert (await back(browser, address, code, "members")).status_code == 400, "another provider's"
    browser.cookies.set("pilothouse_elsewhere", held, domain="127.0.0.1")
    assert (await back(browser, address, code)).status_code == 303
    browser.cookies.clear()
    browser.cookies.set("pilothouse_elsewhere", held, domain="127.0.0.1")
    assert (await back(browser, address, own.authorize(address))).status_code == 400, "replayed with a new code"
    fresh = await begun(browser)
    assert (await back(browser, fresh, code)).status_code == 400, "the code a second time"
    assert (await me(browser)).status_code == 401


async def test_what_the_provider_says_is_not_shown(browser: httpx.AsyncClient) -> None:
    address = await begun(browser)
    answer = await back(browser, address, "", error="access_denied", error_description="<script>alert(1)</script>hunter")
    assert (answer.status_code, "did not let you in" in answer.text) == (403, True)
    assert "Our &lt;own&gt; did not" in answer.text
    assert [text for text in ("hunter", "<script", "<own>") if text in answer.text] == []
    assert 'action="/login"' in answer.text
    assert 'name="next" value="/docs"' in answer.text
    assert (await browser.get("/auth/oidc/own/callback")).status_code == 400
    mixed = await back(browser, await begun(browser), "code", iss="https://evil.example")
    assert mixed.status_code == 400
    assert (await browser.get("/auth/oidc/nobody/login")).status_code == 404


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"groups": ["members"], "email": "ann@Example.com"}, 303),
        ({"groups": ["members"], "email": "ann@example.com", "email_verified": False}, 403),
        ({"groups": ["members"], "email": "ann@evil.example"}, 403),
        ({"groups": ["member"], "email": "ann@example.com"}, 403),
    ],
)
async def test_who_may_log_in(browser: httpx.AsyncClient, own: Provider, claims: dict[str, Any], status: int) -> None:
    answer = await logged_in(browser, own, "members", **claims)
    assert (answer.status_code, "may not log in" in answer.text) == (status, status == 403)


async def test_whom_an_administrator_has_shut_out_stays_out(served: Served, browser: httpx.AsyncClient, own: Provider) -> None:
    assert (await logged_in(browser, own, sub="Carl")).status_code == 303
    user = await listed(served, "carl~")
    changed = await browser.patch(f"/admin/users/{user['id']}", json={"disabled": True}, headers=served.headers)
    assert changed.status_code == 200
    assert (await me(browser)).status_code == 401
    assert (await me(browser, own.signed(sub="Carl"))).status_code == 401
    again = await logged_in(browser, own, sub="Carl")
    assert (again.status_code, "disabled" in again.text) == (403, True)
    assert (await logged_in(browser, own, sub="carl")).status_code == 303, "somebody else: subjects differ by their case"


async def listed(served: Served, login: str) -> dict[str, Any]:
    async with served.client() as admin:
        users = (await admin.get("/admin/users")).json()
    found: dict[str, Any] = next(user for user in users["users"] if user["login"].startswith(login))
    return found


async def test_a_provider_that_is_away_stops_nobody_else(browser: httpx.AsyncClient, own: Provider, away: str) -> None:
    answer = await browser.get("/auth/oidc/away/login", headers={"Accept-Language": "zh"})
    assert (answer.status_code, "away 登录暂时不可用" in answer.text) == (503, True)
    refused = await me(browser, own.signed(iss=away))
    assert (refused.status_code, refused.json()["code"]) == (503, "directory_unavailable")
    assert (await logged_in(browser, own)).status_code == 303


async def test_a_login_by_another_name_of_ours_begins_at_our_address(served: Served, browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/auth/oidc/own/login?next=/docs", headers={"Host": f"localhost:{served.port}"})
    assert answer.headers["location"] == f"{served.url}/auth/oidc/own/login?here=1&next=%2Fdocs"
    evil = await browser.get("/auth/oidc/own/login?next=https://evil.example/", headers={"Host": f"localhost:{served.port}"})
    assert evil.headers["location"].endswith("next=%2Fstatus")


async def test_logins_are_in_the_audit_log(served: Served, browser: httpx.AsyncClient, own: Provider) -> None:
    assert (await logged_in(browser, own, sub="eve-audited")).status_code == 303
    assert (await logged_in(browser, own, sub="eve-audited", nonce="another")).status_code == 400

    user = await listed(served, "eve-audited")

    async def noted() -> bool:
        async with served.client() as admin:
            entries = (await admin.get("/admin/audit?action=login")).json()["entries"]
        mine = [entry for entry in entries if entry["details"]["source"] == "oidc:own"]
        got = [entry for entry in mine if entry["actor"] == f"user:{user['id']}" and entry["outcome"] == "success"]
        failed = [entry for entry in mine if entry["outcome"] == "failure" and entry["details"]["reason"] == "invalid"]
        return bool(got and failed)

    await eventually(noted, what="both logins in the audit log")


async def test_github(browser: httpx.AsyncClient, own: Provider) -> None:
    own.answers = {
        "/api/v3/user": {"id": 42, "login": "octo", "name": None},
        "/api/v3/user/emails": [{"email": "octo@example.com", "primary": True, "verified": True}],
        "/api/v3/user/orgs": [{"login": "our-organisation"}],
        "/api/v3/user/teams": [{"slug": "ops", "organization": {"login": "our-organisation"}}],
    }
    assert (await logged_in(browser, own, "github")).status_code == 303
    assert (await me(browser)).json()["name"] == "octo"
    own.answers["/api/v3/user/orgs"] = [{"login": "another"}]
    assert (await logged_in(browser, own, "github")).status_code == 403
    del own.answers["/api/v3/user"]
    assert (await logged_in(browser, own, "github")).status_code == 400


async def test_groups_and_casdoors_organisation_decide_the_workspaces(browser: httpx.AsyncClient, own: Provider) -> None:
    await logged_in(browser, own, sub="gina", groups=["physics", {"name": "leads"}], owner="our-company")
    said = (await me(browser)).json()
    assert "manage" in said["scopes"]
    assert "admin" not in said["scopes"], "the administrator of a workspace is not the installation's"
    elsewhere = {name: (await browser.get("/auth/me", headers={"X-Workspace": name})) for name in ("sales", "default", "no")}
    assert elsewhere["sales"].json()["scopes"] == ["read"]
    assert (elsewhere["default"].status_code, elsewhere["no"].status_code) == (403, 403)
    token = own.signed(sub="gina", groups=["physics"])
    assert (await me(browser, token)).json()["scopes"] == ["chat", "read", "tools"]
    assert (await me(browser)).json()["scopes"] == ["chat", "read", "tools"], "what the groups say now counts for every login"
    await logged_in(browser, own, sub="gina", groups=["operators"])
    assert "flows:*" in (await me(browser)).json()["scopes"], "in no workspace by name: in the default one by the role"


async def test_bearer_tokens_of_a_provider(browser: httpx.AsyncClient, own: Provider, apart: Provider) -> None:
    said = (await me(browser, own.signed(sub="dora", groups=["/admins"]))).json()
    assert (said["kind"], said["scopes"]) == ("user", ["admin"])
    assert (await me(browser, apart.signed(aud="another-program"))).status_code == 200
    fair = jwt.decode(own.signed(), options={"verify_signature": False})
    head, _, signature = own.signed().split(".")
    refused = {
        "altered": f"{head}.{own.signed(sub='root').split('.')[1]}.{signature}",
        "unsigned": jwt.encode(fair, "", "none", {"kid": own.key_id}),
        "hmac": own.signed_with_the_public_key(**fair),
        "audience": own.signed(aud="another-program"),
        "no audience": own.signed(aud=None),
        "issuer": apart.signed(iss=own.issuer),
        "nobody's issuer": own.signed(iss="https://evil.example"),
        "expired": own.signed(exp=fair["iat"] - 60),
        "an ID token by its own word": own.signed(typ="ID"),
        "a refresh token": own.signed(tokenType="refresh-token"),
    }
    assert {what: (await me(browser, token)).status_code for what, token in refused.items()} == dict.fromkeys(refused, 401)


async def test_new_keys_count_at_once(browser: httpx.AsyncClient, apart: Provider) -> None:
    assert (await me(browser, apart.signed())).status_code == 200
    apart.rotate(ec.generate_private_key(ec.SECP256R1()), "second")
    before = len(apart.asked)
    assert [(await me(browser, apart.signed(jti=str(number)))).status_code for number in range(3)] == [200] * 3
    apart.key_id = "made up"
    assert [(await me(browser, apart.signed(jti=f"x{number}"))).status_code for number in range(3)] == [401] * 3
    assert len(apart.asked) - before == 1, "unknown names of keys ask the provider once in a while alone"


def test_no_code_token_or_secret_is_in_the_log(served: Served) -> None:
    said = served.log.read_text(encoding="utf-8")
    assert "logged_in" in said
    assert [secret for secret in (SECRET, "gho_of_tests", "eyJ", "code=", "code_verifier") if secret in said] == []
