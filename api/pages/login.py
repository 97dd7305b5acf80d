"""The login page: a form that needs no JavaScript, in English or Chinese."""

import base64
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.errors import DirectoryUnavailable, PilothouseError, TooManyAttempts

HERE = Path(__file__).parent
STYLE = "".join(line.strip() for line in (HERE / "login.css").read_text(encoding="utf-8").splitlines())
WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "lang": "en",
        "title": "Log in",
        "username": "Name or e-mail address",
        "word": "Password",
        "enter": "Log in",
        "wrong": "The name or the password is not right.",
        "often": "Too many wrong passwords. Try again in {seconds} s.",
        "away": "The company's directory does not answer. Try again in a moment.",
    },
    "zh": {
        "lang": "zh-CN",
        "title": "登录",
        "username": "用户名或邮箱",
        "word": "密码",
        "enter": "登录",
        "wrong": "用户名或密码不正确。",
        "often": "密码错误次数过多，请在 {seconds} 秒后重试。",
        "away": "公司目录服务没有响应，请稍后重试。",
    },
}


def login_page(request: Request, where: str, username: str = "", error: PilothouseError | None = None) -> HTMLResponse:
    """The form, which leads on to ``where``; with an ``error`` its words, and the status that goes with it."""
    words = WORDS["zh" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"]
    wrong, status = _told(error, words)
    page = _environment().get_template("login.html")
    text = page.render(
        t=words,
        style=STYLE,
        action=request.url.path,
        next=where,
        username=username,
        wrong=wrong,
    )
    return HTMLResponse(text, status, _headers(where))


def _told(error: PilothouseError | None, words: Mapping[str, str]) -> tuple[str, int]:
    if error is None:
        return "", 200
    if isinstance(error, TooManyAttempts):
        return words["often"].replace("{seconds}", f"{error.retry_after or 60:.0f}"), 429
    return (words["away"], 503) if isinstance(error, DirectoryUnavailable) else (words["wrong"], 401)


def _headers(where: str) -> dict[str, str]:
    """The form may be sent to us alone; browsers ask the same of where its answer leads on to."""
    style = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
    parts = urlsplit(where)
    onward = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{style}'; form-action 'self'{onward};"
        " base-uri 'none'; frame-ancestors 'none'",
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Language",
    }


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
