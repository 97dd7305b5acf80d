"""Files over HTTP: open to whoever has the link, in parts, from a cache, safe to open; gone with their time or session."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from core.config import DatabaseSettings, Settings
from core.files import CACHED
from core.store.base import Store
from core.tools.tool import File
from flows.files import KeptFiles, files_for
from tests.api.serving import Chat, Served, provider
from tests.ports import free_port
from tests.s3 import S3Server
from tests.upstream import FakeUpstream

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
CHART = File("销量 chart.svg", "image/svg+xml", SVG)
LOCKED = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
Serve = Callable[..., Served]


def settings_of(api: Served, **files: object) -> Settings:
    database = DatabaseSettings(url=SecretStr(api.database_url))
    return Settings.model_validate({"data_dir": api.folder / "data", "database": database, "port": api.port, "files": files})


async def keep(files: KeptFiles, file: File, session_id: str | None = None) -> str:
    return await files.keeper.keep(files.keeper.taken(file, session_id))


@pytest.fixture
async def kept(served: Served) -> AsyncIterator[KeptFiles]:
    """The files of the session's API, kept by another process."""
    settings = settings_of(served)
    store = Store.from_settings(settings.database)
    yield files_for(settings, store)
    await store.aclose()


@pytest.fixture
async def anyone(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
async def link(kept: KeptFiles) -> str:
    return await keep(kept, CHART)


async def test_whoever_has_the_link_reads_the_file_and_nothing_in_it_runs(
    served: Served, anyone: httpx.AsyncClient, link: str
) -> None:
    assert link.startswith(f"{served.url}/files/")
    found = await anyone.get(link)
    assert (found.status_code, found.content) == (200, SVG)
    headers = found.headers
    assert headers["content-type"] == "image/svg+xml"
    assert headers["content-length"] == str(len(SVG))
    assert headers["content-disposition"] == "inline; filename=\"__ chart.svg\"; filename*=UTF-8''%E9%94%80%E9%87%8F%20chart.svg"
    assert headers["content-security-policy"] == LOCKED
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == CACHED
    assert headers["access-control-allow-origin"] == "*"
    assert headers["accept-ranges"] == "bytes"


async def test_what_a_browser_should_not_open_is_saved(anyone: httpx.AsyncClient, kept: KeptFiles) -> None:
    found = await anyone.get(await keep(kept, File("page.html", "text/html", b"<script>alert(1)</script>")))
    assert found.headers["content-disposition"].startswith("attachment; ")
    assert found.headers["content-security-policy"] == LOCKED


async def test_head_says_the_same_without_the_content(anyone: httpx.AsyncClient, link: str) -> None:
    found, asked = await anyone.get(link), await anyone.head(link)
    assert (asked.status_code, asked.content) == (200, b"")
    apart = {"date", "x-request-id"}
    assert {key: value for key, value in asked.headers.items() if key not in apart} == {
        key: value for key, value in found.headers.items() if key not in apart
    }


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, None),
        ("bytes=-5", -5, None),
        ("bytes=3-99999999", 3, None),
        ("bytes=-9999999", 0, None),
    ],
)
async def test_a_part_is_read(anyone: httpx.AsyncClient, link: str, asked: str, start: int, end: int | None) -> None:
    found = await anyone.get(link, headers={"Range": asked})
    part = SVG[start:end]
    first = SVG.index(part)
    assert (found.status_code, found.content) == (206, part)
    assert found.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(SVG)}"
    assert found.headers["content-length"] == str(len(part))


@pytest.mark.parametrize("asked", ["bytes=999999-", "bytes=-0"])
async def test_a_part_that_is_not_there_is_416(anyone: httpx.AsyncClient, link: str, asked: str) -> None:
    found = await anyone.get(link, headers={"Range": asked})
    assert (found.status_code, found.headers["content-range"]) == (416, f"bytes */{len(SVG)}")
    assert found.content == b""


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=0-1,3-4", "lines=0-1", "bytes=", "bytes=-", "bytes=a-b", "bytes=" + "9" * 400 + "-"]
)
async def test_what_is_no_single_range_means_the_whole(anyone: httpx.AsyncClient, link: str, asked: str) -> None:
    found = await anyone.get(link, headers={"Range": asked})
    assert (found.status_code, found.content) == (200, SVG)


async def test_what_a_reader_has_already_is_not_sent_again(anyone: httpx.AsyncClient, link: str) -> None:
    found = await anyone.get(link)
    etag, modified = found.headers["etag"], found.headers["last-modified"]
    for condition in (
        {"If-None-Match": etag},
        {"If-None-Match": f'"other", W/{etag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": modified},
    ):
        again = await anyone.get(link, headers=condition)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag), condition
        assert again.headers["cache-control"] == CACHED
    earlier = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    for condition in (
        {"If-None-Match": '"other"', "If-Modified-Since": modified},
        {"If-Modified-Since": earlier},
        {"If-Modified-Since": "soon"},
    ):
        assert (await anyone.get(link, headers=condition)).status_code == 200, condition


async def test_a_part_is_for_the_state_that_the_reader_knows(anyone: httpx.AsyncClient, link: str) -> None:
    found = await anyone.get(link)
    for state, status in ((found.headers["etag"], 206), (found.headers["last-modified"], 206), ('"other"', 200), ("soon", 200)):
        part = await anyone.get(link, headers={"Range": "bytes=0-1", "If-Range": state})
        assert part.status_code == status, state


@pytest.mark.parametrize(
    "key",
    [
        "0" * 32 + "-chart.svg",
        "nothing",
        "..%2f..%2fadmin-token",
        "%2e%2e/admin-token",
        "....//admin-token",
        "%00",
        "a" * 5000,
        "0" * 32 + "-%2e%2e%2fchart.svg",
        "0" * 32 + "-..\\chart.svg",
        ".begun-0",
        "",
    ],
)
async def test_any_other_key_is_not_found(served: Served, anyone: httpx.AsyncClient, key: str) -> None:
    found = await anyone.get(f"/files/{key}")
    assert found.status_code == 404
    assert found.json()["code"] == "not_found"
    assert served.token not in found.text


async def test_paths_that_lead_out_lead_nowhere(served: Served, link: str) -> None:
    """Written to the socket as they are: a client would tidy them up first."""

    for path in (
        "/files/../../admin-token",
        "/files/..%5c..%5cadmin-token",
        "/files//etc/passwd",
        "/files/%2e%2e%2f%2e%2e%2fadmin-token",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(f"GET /files/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.split(b" ")[1] in {b"404", b"401"}, path


async def test_a_file_whose_time_is_over_is_gone_at_once(served: Served, anyone: httpx.AsyncClient, kept: KeptFiles) -> None:
    link = await keep(kept, CHART)
    with psycopg.connect(served.database_url) as connection:
        connection.execute("UPDATE pilothouse.files SET expires_at = now() WHERE key = %s", [link.rpartition("/")[2]])
    for found in (await anyone.get(link), await anyone.head(link)):
        assert found.status_code == 404


async def test_a_file_goes_with_its_session(served: Served, anyone: httpx.AsyncClient, kept: KeptFiles, chat: Chat) -> None:
    links = [await keep(kept, CHART, session_id=chat.id) for _ in range(3)]
    other = await keep(kept, CHART)
    with psycopg.connect(served.database_url) as connection:
        connection.execute("UPDATE pilothouse.files SET expires_at = now() - interval '1 year' WHERE session_id = %s", [chat.id])
    assert [(await anyone.get(link)).status_code for link in links] == [200] * 3
    folder = served.folder / "data" / "files"
    assert (await chat.client.delete(f"/chat/sessions/{chat.id}")).status_code == 204
    assert [(await anyone.get(link)).status_code for link in (*links, other)] == [404] * 3 + [200]
    left = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert not left & {link.rpartition("/")[2] for link in links}
    assert other.rpartition("/")[2] in left


async def test_a_file_whose_bytes_are_lost_is_not_found(served: Served, anyone: httpx.AsyncClient, kept: KeptFiles) -> None:
    link = await keep(kept, CHART)
    (served.folder / "data" / "files" / link.rpartition("/")[2]).unlink()
    assert (await anyone.get(link)).status_code == 404


async def test_a_large_file_comes_in_chunks(anyone: httpx.AsyncClient, kept: KeptFiles) -> None:
    data = bytes(range(256)) * 40_000
    link = await keep(kept, File("big.bin", "application/octet-stream", data))
    async with anyone.stream("GET", link) as response:
        assert b"".join([chunk async for chunk in response.aiter_bytes()]) == data


async def test_pictures_of_tools_need_no_token(anyone: httpx.AsyncClient) -> None:
    for name in ("drawing", "database"):
        found, asked = await anyone.get(f"/imgs/tools/{name}.svg"), await anyone.head(f"/imgs/tools/{name}.svg")
        assert (found.status_code, found.headers["content-type"]) == (200, "image/svg+xml")
        assert found.content.startswith(b"<svg ")
        assert (asked.status_code, asked.content) == (200, b"")
    assert (await anyone.get("/imgs/tools/none.svg")).status_code == 404
    assert (await anyone.get("/imgs/tools/..%2f..%2f__init__.py")).status_code == 404


def bucket_toml(s3: S3Server, bucket: str, **more: str) -> str:
    values = {"endpoint": s3.url, "bucket": bucket, "access_key": s3.user, "secret_key": s3.password, **more}
    return "\n".join(["[files]", *(f'{key} = "{value}"' for key, value in values.items()), ""])


async def test_a_bucket_is_read_through_us_and_its_absence_is_said(
    serve: Serve, own_s3: S3Server, upstream: FakeUpstream
) -> None:
    name = own_s3.bucket()
    api = serve(providers={"fake": provider(upstream.base_url)}, settings=bucket_toml(own_s3, name))
    settings = settings_of(api, endpoint=own_s3.url, bucket=name, access_key=own_s3.user, secret_key=own_s3.password)
    store = Store.from_settings(settings.database)
    link = await keep(files_for(settings, store), CHART)
    await store.aclose()
    async with api.client() as client:
        found = await client.get(link, headers={"Range": "bytes=1-3"})
        assert (found.status_code, found.content) == (206, SVG[1:4])
        assert (await client.get("/ready")).json()["parts"]["files"] is True
        own_s3.kill()
        away = await client.get(link)
        assert (away.status_code, away.json()["code"]) == (503, "store_unavailable")
        assert "retry-after" in away.headers


async def test_the_service_starts_and_chats_while_the_bucket_is_away(serve: Serve, upstream: FakeUpstream) -> None:
    settings = f'[files]\nendpoint = "http://127.0.0.1:{free_port()}"\nbucket = "charts"\naccess_key = "a"\nsecret_key = "b"\n'
    api = serve(providers={"fake": provider(upstream.base_url)}, settings=settings)
    async with api.client() as client:
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()["parts"]["files"], ready.json()["missing"]) == (200, False, [])
        chat = await Chat(client).open()
        assert (await chat.ask()).status_code == 200
        assert (await client.delete(f"/chat/sessions/{chat.id}")).status_code == 204
