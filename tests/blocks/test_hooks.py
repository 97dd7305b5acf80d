"""Hooks: no shell, no secrets, an end in time; the dead man's switch never fails what it watches."""

import sys
from http.server import ThreadingHTTPServer
from pathlib import Path
from time import monotonic

import psutil
import pytest
from pydantic import SecretStr

from blocks.hooks import ping, run_hook
from core.backups.errors import HookFailed
from core.settings_backups import HookSettings
from tests.dead_mans_switch import Switch, switch
from tests.waiting import eventually

__all__ = ["switch"]


def python(code: str, *arguments: str, seconds: float = 30) -> HookSettings:
    return HookSettings(command=(sys.executable, "-c", code, *arguments), seconds=seconds)


async def test_a_command_gets_its_arguments_as_they_are_and_none_of_our_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("PILOTHOUSE_AUTH_TOKEN", "secret")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "u:secret")
    code = "import os, sys; open(sys.argv[1], 'w').write(repr((sys.argv[2:], dict(os.environ))))"
    told = tmp_path / "told"
    await run_hook("x", python(code, str(told), "$HOME; rm *"), {"BACKUP_SOURCE": "dify"})
    arguments, environment = eval(told.read_text())
    assert arguments == ["$HOME; rm *"]
    assert environment["BACKUP_SOURCE"] == "dify"
    assert "PATH" in environment
    assert "secret" not in str(environment)


async def test_a_failure_tells_its_code_and_last_words() -> None:
    code = "import sys; print('x' * 100_000); print('no space'); sys.exit(3)"
    with pytest.raises(HookFailed, match=r"The hook x ended with 3: .*no space\.") as caught:
        await run_hook("x", python(code), {})
    assert len(caught.value.message) < 500


async def test_a_command_that_does_not_exist_is_named_by_its_key() -> None:
    with pytest.raises(HookFailed, match=r"correct hooks\.x\.command"):
        await run_hook("x", HookSettings(command=("/no/such/program",)), {})


async def test_one_that_takes_too_long_ends_with_what_it_started(tmp_path: Path) -> None:
    child = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}, sys.argv[1]])"
    noted, began = tmp_path / "pid", monotonic()
    with pytest.raises(HookFailed, match=r"ended after 2 s"):
        await run_hook("x", python(code, str(noted), seconds=2), {})
    assert monotonic() - began < 20
    number = int(noted.read_text())
    await eventually(lambda: not psutil.pid_exists(number) or psutil.Process(number).status() == "zombie", what="the child's end")


async def test_the_switch_is_told_at_its_own_addresses(switch: ThreadingHTTPServer) -> None:
    url = SecretStr(f"http://127.0.0.1:{switch.server_port}/ping/uuid?msg=x")
    assert [await ping(url, moment) for moment in ("start", "success", "fail")] == [True] * 3
    assert Switch.asked == ["/ping/uuid/start?msg=x", "/ping/uuid?msg=x", "/ping/uuid/fail?msg=x"]


@pytest.mark.parametrize(("status", "times"), [(404, 1), (500, 2)])
async def test_a_switch_that_refuses_fails_nothing(switch: ThreadingHTTPServer, status: int, times: int) -> None:
    Switch.status = status
    assert not await ping(SecretStr(f"http://127.0.0.1:{switch.server_port}/x"), "start")
    assert len(Switch.asked) == times


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://[broken", "nonsense"])
async def test_a_switch_that_is_not_there_fails_nothing(url: str) -> None:
    assert not await ping(SecretStr(url), "success")
