"""Our nginx configuration as people copy it, with a real nginx, API and directory: who reaches what behind it, and as whom."""

import base64
import http.client
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from socket import create_connection
from typing import Any

import httpx
import pytest
from playwright.sync_api import sync_playwright
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from deployments.postgres import EmbeddedPostgres
from tests.api.serving import Served, launched
from tests.blocks.probes.slapd import ADMIN, PASSWORD, SCHEMAS, Slapd, missing, slapd
from tests.blocks.test_ldap_directory import GROUPS, MORE, OVERLAYS, SCHEMA, WORD, filled
from tests.browser.test_status_page import ARGUMENTS, CHROMIUM
from tests.certificates import Authority
from tests.nginx.programs import NGINX, SHIPPED, Nginx, Program, checked, program, running
from tests.ports import free_port

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx-light)"),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]
HOSTS = ("pilothouse", "dify", "prefect")
PROXIED = {
    "X-Auth-User": "admin",
    "X-Auth-Role": "admin",
    "X-Auth-Email": "a@b",
    "X-Auth-Name": "A",
    "X-Auth-Workspace": "research",
    "X_Auth_User": "admin",
}


@dataclass
class Site:
    """Everything behind one nginx."""

    nginx: Nginx
    api: Served
    dify: Program
    prefect: Program
    trust: ssl.SSLContext

    def ask(self, host: str, path: str, method: str = "GET", sender: str = "127.0.0.1", **more: Any) -> httpx.Response:
        """One request to ``https://HOST.example.com``."""
        name = f"{host}.example.com"
        headers = {"Host": f"{name}:{self.nginx.tls_port}", **more.pop("headers", {})}
        with httpx.Client(transport=httpx.HTTPTransport(verify=self.trust, local_address=sender), timeout=20) as client:
            url = f"https://127.0.0.1:{self.nginx.tls_port}{path}"
            return client.request(method, url, headers=headers, extensions={"sni_hostname": name}, **more)

    def raw(self, host: str, path: str, method: str = "GET", length: int = 0) -> tuple[int, list[tuple[str, str]]]:
        """Status and headers, for a path that no client tidies up and a body of ``length`` that is only announced."""
        connection = http.client.HTTPConnection("127.0.0.1", timeout=10)
        name, plain = f"{host}.example.com", create_connection(("127.0.0.1", self.nginx.tls_port))
        connection.sock = self.trust.wrap_socket(plain, server_hostname=name)
        connection.putrequest(method, path, skip_host=True)
        for header in (("Host", name), ("Content-Length", str(length))):
            connection.putheader(*header)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, [(key.lower(), value) for key, value in answer.getheaders()]

    def login(self, name: str) -> dict[str, str]:
        """The header of a browser that is logged in."""
        form = {"username": name, "password": WORD, "next": f"https://dify.example.com:{self.nginx.tls_port}/apps"}
        answer = self.ask("pilothouse", "/login", "POST", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert (answer.status_code, answer.headers["location"]) == (303, form["next"]), answer.text
        assert "domain=example.com" in answer.headers["set-cookie"].lower()
        assert "secure" in answer.headers["set-cookie"].lower()
        return {"Cookie": f"theme=dark; {answer.headers['set-cookie'].partition(';')[0]}; lang=en"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def directory(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    folder = tmp_path_factory.mktemp("ad")
    (folder / "ad.schema").write_text(SCHEMA, encoding="utf-8")
    more = MORE.format(schemas=SCHEMAS, folder=folder)
    with slapd(folder / "d", authority.signed("127.0.0.1"), more, OVERLAYS) as server:
        filled(server)
        yield server


@pytest.fixture(scope="module")
def site(
    postgres: EmbeddedPostgres,
    template_database: str,
    authority: Authority,
    directory: Slapd,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    nginx = Nginx(tmp_path_factory.mktemp("nginx"), free_port(), free_port())
    settings = f"""
public_url = "https://pilothouse.example.com:{nginx.tls_port}"
[access]
cookie_domain = "example.com"
login_hosts = ["dify.example.com", "prefect.example.com"]
[ldap]
urls = ["ldaps://127.0.0.1:{directory.tls_port}"]
bind_dn = "{ADMIN}"
bind_password = "{PASSWORD}"
search_base = "DC=example,DC=com"
ca_file = "{authority.file}"
admin_filter = "(memberOf=CN=Admins,{GROUPS})"
role = "viewer"
"""
    folder, certificate = tmp_path_factory.mktemp("api"), authority.signed(*(f"{host}.example.com" for host in HOSTS))
    with launched(postgres, template_database, folder, {}, settings=settings) as api, program() as dify, program() as prefect:
        upstreams = {"pilothouse": api.port, "dify": dify.port, "prefect": prefect.port}
        with running(nginx, certificate, upstreams):
            yield Site(nginx, api, dify, prefect, ssl.create_default_context(cafile=str(authority.file)))


@pytest.fixture(scope="module")
def ann(site: Site) -> dict[str, str]:
    """An administrator by a group of the directory."""
    return site.login("ann")


@pytest.fixture(scope="module")
def carl(site: Site) -> dict[str, str]:
    """A viewer."""
    return site.login("carl")


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def test_nginx_takes_the_shipped_files(site: Site) -> None:
    said = checked(site.nginx.folder)
    assert (said.returncode, "warn" in said.stderr) == (0, False), said.stderr
    for file in SHIPPED.glob("*.conf"):
        used = (site.nginx.folder / "conf.d" / file.name).read_text(encoding="utf-8").splitlines()
        for ours, theirs in zip(file.read_text(encoding="utf-8").splitlines(), used, strict=True):
            assert ours == theirs or re.match(r" +(listen|server 127|ssl_certificate)", ours), ours


def test_http_leads_to_https_and_unknown_names_get_nothing(site: Site) -> None:
    for host in HOSTS:
        answer = httpx.get(f"http://127.0.0.1:{site.nginx.port}/a?b=c", headers={"Host": f"{host}.example.com"}, trust_env=False)
        assert (answer.status_code, answer.headers["location"]) == (301, f"https://{host}.example.com/a?b=c")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{site.nginx.port}/", headers={"Host": "other.example"}, trust_env=False)
    with pytest.raises(httpx.ConnectError):
        site.ask("other", "/")


@pytest.mark.parametrize("host", HOSTS)
def test_old_tls_is_refused_and_headers_are_set(site: Site, host: str) -> None:
    old = ssl.create_default_context(cadata=None)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with create_connection(("127.0.0.1", site.nginx.tls_port)) as raw, pytest.raises(ssl.SSLError):
        old.wrap_socket(raw, server_hostname=f"{host}.example.com")
    for status, headers in (site.raw(host, "/health"), site.raw(host, "/", "POST", 999_999_999)):
        assert status in (200, 302, 413)
        assert [value for key, value in headers if key == "strict-transport-security"] == ["max-age=31536000"]
        assert [value for key, value in headers if key == "x-content-type-options"] == ["nosniff"]
        assert ("server", "nginx") in headers, "without its version"


def test_nobody_is_led_to_the_login_and_back(site: Site, ann: dict[str, str]) -> None:
    port = site.nginx.tls_port
    answer = site.ask("dify", "/app/1?tab=a%26b&page=2")
    assert answer.status_code == 302
    where = httpx.URL(answer.headers["location"])
    assert (where.host, where.port, where.path) == ("pilothouse.example.com", port, "/login")
    assert where.params["next"] == f"https://dify.example.com:{port}/app/1?tab=a%26b&page=2"
    assert site.ask("dify", "/console/api/apps", headers={"Sec-Fetch-Mode": "cors"}).status_code == 401
    assert site.ask("dify", "/console/api/apps", headers={"Cookie": "pilothouse_login=phr_guessed"}).status_code == 302
    assert site.ask("dify", "/app/1", headers=ann).status_code == 200
    assert site.ask("pilothouse", "/auth/verify", headers=ann).status_code == 404
    assert site.ask("dify", "/_pilothouse/verify", headers=ann).status_code == 404


def test_a_guarded_program_learns_who_it_is_and_nothing_that_is_ours(site: Site, ann: dict[str, str]) -> None:
    headers = site.ask("dify", "/apps", headers=ann | PROXIED | {"Authorization": "Bearer of-dify"}).json()["headers"]
    assert {name: value for name, value in headers.items() if "auth" in name} == {
        "x-auth-user": "ann",
        "x-auth-email": "ann@example.com",
        "x-auth-name": "Ann%20%E6%9D%8E",
        "x-auth-role": "admin",
        "x-auth-workspace": "default",
        "authorization": "Bearer of-dify",
    }
    assert (headers["cookie"], headers["x-forwarded-proto"]) == ("theme=dark; lang=en", "https")
    assert headers["x-forwarded-for"] == "127.0.0.1"
    twice = {"Cookie": f"pilothouse_login=phr_old; {ann['Cookie']}", "X-Forwarded-For": "203.0.113.9"}
    headers = site.ask("dify", "/apps", headers=twice).json()["headers"]
    assert (headers["cookie"], headers["x-forwarded-for"]) == ("theme=dark; lang=en", "127.0.0.1")


@pytest.mark.parametrize("path", ["/v1/chat-messages", "/files/1/preview", "/e/hook", "/triggers/webhook/1", "/mcp/server/1/mcp"])
def test_what_has_keys_of_difys_own_passes(site: Site, path: str) -> None:
    given = PROXIED | {"Authorization": "Bearer app-1", "Cookie": "pilothouse_login=phs_1; a=b"}
    answer = site.ask("dify", path, "POST", headers=given, content=b"{}")
    headers = answer.json()["headers"]
    assert headers["cookie"] == "a=b"
    assert (answer.status_code, headers["authorization"]) == (200, "Bearer app-1")
    assert [name for name in headers if "auth" in name and name != "authorization"] == []


@pytest.mark.parametrize(
    "path",
    ["/v1/../console/api", "/v1/%2e%2e/console", "/v1/..%2fconsole", "/v1", "/v1x/", "//console", "/V1/a", "/console/v1/"],
)
def test_no_path_leads_around_the_login(site: Site, path: str) -> None:
    assert site.raw("dify", path)[0] == 302


@pytest.mark.parametrize("path", ["/v1/stream", "/stream"])
def test_streams_arrive_as_they_are_sent(site: Site, ann: dict[str, str], path: str) -> None:
    site.dify.go_on.clear()
    name = "dify.example.com"
    url = f"https://127.0.0.1:{site.nginx.tls_port}{path}"
    with (
        httpx.Client(verify=site.trust, timeout=5, trust_env=False) as client,
        client.stream("GET", url, headers={"Host": name, **ann}, extensions={"sni_hostname": name}) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "data: first", "it came while the last was not sent yet"
        site.dify.go_on.set()
        assert [line for line in lines if line] == ["data: last"]


def socket_of(site: Site, host: str, headers: dict[str, str]) -> Any:
    raw = create_connection(("127.0.0.1", site.nginx.tls_port))
    return connect(f"wss://{host}.example.com/api/events/out", sock=raw, ssl=site.trust, additional_headers=headers)


def test_websockets_pass_for_who_is_logged_in(site: Site, ann: dict[str, str], carl: dict[str, str]) -> None:
    for host in ("dify", "prefect"):
        with socket_of(site, host, ann) as opened:
            opened.send("hello")
            assert opened.recv() == "ann: hello"
    for headers in ({}, {"Sec-Fetch-Mode": "websocket"}, carl):
        with pytest.raises(InvalidStatus) as refused:
            socket_of(site, "prefect", headers)
        assert refused.value.response.status_code in (302, 401, 403)


def test_no_other_upgrade_passes(site: Site, ann: dict[str, str]) -> None:
    asked = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    for path in ("/apps", "/v1/chat-messages"):
        assert "upgrade" not in site.ask("dify", path, headers=ann | asked).json()["headers"]


def test_prefects_page_is_for_administrators(site: Site, ann: dict[str, str], carl: dict[str, str]) -> None:
    before = len(site.prefect.asked)
    answer = site.ask("prefect", "/dashboard", headers=carl | PROXIED)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert ("administrators" in answer.text, "管理员" in answer.text) == (True, True)
    assert site.ask("prefect", "/api/flows", "POST", headers=carl).status_code == 403
    assert site.ask("prefect", "/dashboard").status_code == 302
    assert len(site.prefect.asked) == before
    assert site.ask("prefect", "/dashboard", headers=ann).status_code == 200
    assert site.ask("dify", "/apps", headers=carl).status_code == 200


def test_too_large_a_body_is_refused_before_it_is_sent(site: Site, ann: dict[str, str]) -> None:
    for host, limit in (("pilothouse", 32), ("dify", 100), ("prefect", 10)):
        assert site.raw(host, "/", "POST", limit * 1024 * 1024 + 1)[0] == 413
    assert site.ask("dify", "/files/upload", "POST", headers=ann, content=b"x" * 3_000_000).json()["body"] == 3_000_000


def test_logins_from_one_address_are_bounded(site: Site) -> None:
    def guess() -> int:
        return site.ask("pilothouse", "/login", "POST", "127.0.0.2", headers={"Sec-Fetch-Site": "cross-site"}).status_code

    found = [guess() for _ in range(26)]
    assert (found[:20], found[-1]) == ([403] * 20, 429)
    assert site.ask("pilothouse", "/auth/login", "POST", "127.0.0.2", json={}).status_code == 429
    assert site.ask("pilothouse", "/login", sender="127.0.0.2").status_code == 200, "the page itself can be seen"
    assert site.ask("pilothouse", "/login", "POST", "127.0.0.3", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_scripts_use_basic_authentication_and_its_password_stays_here(site: Site) -> None:
    answer = site.ask("dify", "/apps", headers=basic("ann", WORD))
    assert (answer.status_code, answer.json()["headers"]["x-auth-user"]) == (200, "ann")
    assert "authorization" not in answer.json()["headers"]
    assert site.ask("prefect", "/dashboard", headers=basic("carl", WORD)).status_code == 403
    wrong = [site.ask("dify", "/apps", sender="127.0.0.4", headers=basic("carl", "wrong")).status_code for _ in range(6)]
    assert wrong == [401] * 5 + [429]


def test_nobody_passes_while_pilothouse_is_away(site: Site, authority: Authority, tmp_path: Path, ann: dict[str, str]) -> None:
    nginx = Nginx(tmp_path / "away", free_port(), free_port())
    upstreams = {"pilothouse": free_port(), "dify": site.dify.port, "prefect": site.prefect.port}
    with running(nginx, authority.signed("dify.example.com", "prefect.example.com"), upstreams):
        away = replace(site, nginx=nginx)
        for host in ("dify", "prefect"):
            answer = away.ask(host, "/apps", headers=ann)
            assert (answer.status_code, "does not answer" in answer.text) == (503, True)
        assert away.ask("dify", "/v1/chat-messages").status_code == 200


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")
def test_somebody_logs_in_with_the_domain_account_and_works_in_dify(site: Site) -> None:
    port = site.nginx.tls_port
    rules = "--host-resolver-rules=MAP *.example.com 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, rules])
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.goto(f"https://dify.example.com:{port}/apps?a=b&c=d")
        assert page.url.startswith(f"https://pilothouse.example.com:{port}/login?next=")
        page.fill("#username", "carl")
        page.fill("#password", WORD)
        page.click("button")
        page.wait_for_url(f"https://dify.example.com:{port}/apps?a=b&c=d")
        assert site.dify.asked[-1][1]["x-auth-user"] == "carl"
        refused = page.goto(f"https://prefect.example.com:{port}/dashboard")
        assert refused is not None
        assert refused.status == 403
        page.goto(f"https://pilothouse.example.com:{port}/health")
        assert page.evaluate("fetch('/auth/logout', {method: 'POST'}).then(answer => answer.status)") == 204
        page.goto(f"https://dify.example.com:{port}/apps")
        assert page.url.startswith(f"https://pilothouse.example.com:{port}/login")
        browser.close()


def test_logged_out_nobody_passes(site: Site) -> None:
    cookie = site.login("ann")
    assert site.ask("dify", "/apps", headers=cookie).status_code == 200
    ended = site.ask("pilothouse", "/auth/logout", "POST", headers=cookie | {"Sec-Fetch-Site": "same-origin"})
    assert (ended.status_code, "domain=example.com" in str(ended.headers.get_list("set-cookie")).lower()) == (204, True)
    assert site.ask("dify", "/apps", headers=cookie).status_code == 302
