"""The login page: a form that needs no JavaScript, in English or Chinese."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse

from api.pages.page import headers, style_of, template
from core.errors import DirectoryUnavailable, LoginRefused, PilothouseError, TooManyAttempts
from core.identity.oidc import IdentityProvider

STYLE = style_of("login.css")
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
        "by": "Log in with {label}",
        "or": "or",
        "elsewhere": "Logins by {label} do not work at the moment. Try again, or log in another way.",
        "lost": "This login took too long, or was begun in another browser. Please log in again.",
        "denied": "{label} did not let you in.",
        "invalid": "The answer of {label} could not be accepted. Please log in again.",
        "not_allowed": "Your account may not log in here. Ask an administrator.",
        "disabled": "Your account is disabled here. Ask an administrator.",
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
        "by": "使用 {label} 登录",
        "or": "或",
        "elsewhere": "{label} 登录暂时不可用，请稍后重试，或使用其他方式登录。",
        "lost": "登录超时，或是在其他浏览器中发起的，请重新登录。",
        "denied": "{label} 拒绝了本次登录。",
        "invalid": "无法接受 {label} 的应答，请重新登录。",
        "not_allowed": "您的账号无权登录，请联系管理员。",
        "disabled": "您的账号已被停用，请联系管理员。",
    },
}


def login_page(
    request: Request, where: str, username: str = "", error: PilothouseError | None = None, by: str | None = None
) -> HTMLResponse:
    """The form, which leads on to ``where``; with an ``error`` its words, and the status that goes with it.

    ``by`` is the label of the provider that somebody tried to log in by.
    """
    words = WORDS["zh" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"]
    wrong, status = _told(error, words, by)
    # Logins by another provider come back to an address of their own.
    base = request.url.path.partition("/auth/oidc/")[0].removesuffix("/login")
    providers: Mapping[str, IdentityProvider] = request.app.state.parts.elsewhere.providers
    text = template("login.html").render(
        t=words,
        style=STYLE,
        action=f"{base}/login",
        next=where,
        username=username,
        wrong=wrong,
        others=[
            (f"{base}/auth/oidc/{name}/login?next={quote(where, safe='')}", words["by"].replace("{label}", one.label))
            for name, one in providers.items()
        ],
    )
    return HTMLResponse(text, status, headers(STYLE, onward=_onward(where)))


def _told(error: PilothouseError | None, words: Mapping[str, str], by: str | None) -> tuple[str, int]:
    if error is None:
        return "", 200
    if isinstance(error, TooManyAttempts):
        return words["often"].replace("{seconds}", f"{error.retry_after or 60:.0f}"), 429
    if isinstance(error, LoginRefused):
        status = 400 if error.reason in ("lost", "invalid") else 403
        return words[error.reason].replace("{label}", by or ""), status
    if isinstance(error, DirectoryUnavailable) and by is not None:
        return words["elsewhere"].replace("{label}", by), 503
    return (words["away"], 503) if isinstance(error, DirectoryUnavailable) else (words["wrong"], 401)


def _onward(where: str) -> str:
    """The origin that ``where`` is at, if it is another one than ours."""
    parts = urlsplit(where)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
