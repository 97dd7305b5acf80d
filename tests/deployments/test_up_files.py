"""``up`` with the variables of MinIO's users: charts lie in their bucket, under the link that they asked for."""

import json
from pathlib import Path

import httpx

from tests.deployments.running_up import RunningUp
from tests.s3 import S3Server

CHART = {"title": "销量", "xAxis": ["A", "B", "C"], "yAxis": [1, 2, 3], "chartType": "柱状图"}


async def drawn(url: str) -> str:
    """The link that FastGPT's chart tool gives."""
    body = {"toolId": "drawing/baseChart", "inputs": CHART, "systemVar": {}}
    async with httpx.AsyncClient(base_url=url, headers={"authtoken": "plugin-token"}, trust_env=False, timeout=60) as client:
        answer = await client.post("/tool/runstream", json=body)
    frame = json.loads(answer.text.strip().splitlines()[-1].removeprefix("data: "))
    link = frame["data"]["output"]["chartUrl"]
    assert isinstance(link, str)
    return link


async def test_charts_go_to_the_bucket_and_come_from_it(tmp_path: Path, s3: S3Server) -> None:
    custom = f"{s3.url}/charts-of-up"
    environ = {
        "AUTH_TOKEN": "plugin-token",
        "MINIO_ENDPOINT": "127.0.0.1",
        "MINIO_PORT": str(s3.port),
        "MINIO_USE_SSL": "false",
        "MINIO_ACCESS_KEY": s3.user,
        "MINIO_SECRET_KEY": s3.password,
        "MINIO_BUCKET": "charts-of-up",
        "MINIO_CUSTOM_ENDPOINT": f"{custom}/",
        "PILOTHOUSE_FILES__SET_POLICY": "true",
    }
    up = RunningUp(tmp_path / "data", "--no-model", environ=environ)
    try:
        url = (await up.until("^ready: ")).removeprefix("ready: ")
        assert up.line("^files: ") == f"files: 127.0.0.1:{s3.port}/charts-of-up from MINIO_ENDPOINT"
        link = await drawn(url)
        assert link.startswith(f"{custom}/")
        async with httpx.AsyncClient(trust_env=False, timeout=10) as anyone:
            found = await anyone.get(link)
            served = await anyone.get(f"{url}/files/{link.rpartition('/')[2]}")
        assert (found.status_code, found.headers["content-type"]) == (200, "image/svg+xml")
        assert found.headers["content-disposition"].startswith("inline; ")
        assert "销量" in found.text
        assert served.content == found.content
        assert s3.password not in up.said
    finally:
        assert up.interrupt() == 0


async def test_links_to_files_begin_with_the_address_that_people_use(tmp_path: Path) -> None:
    environ = {"AUTH_TOKEN": "plugin-token", "SITE_URL": "https://ai.example/base/"}
    up = RunningUp(tmp_path / "data", "--no-model", environ=environ)
    try:
        url = (await up.until("^ready: ")).removeprefix("ready: ")
        link = await drawn(url)
        assert link.startswith("https://ai.example/base/files/")
        async with httpx.AsyncClient(trust_env=False, timeout=10) as anyone:
            found = await anyone.get(f"{url}/files/{link.rpartition('/')[2]}")
        assert found.text.startswith("<")
        assert not up.line("^files: ")
    finally:
        assert up.interrupt() == 0
