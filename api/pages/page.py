"""What every page is made with: its style within it, texts that are escaped, headers that let nothing else in, and no script."""

import base64
from functools import cache
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

HERE = Path(__file__).parent


def style_of(*files: str) -> str:
    """The style sheets, one after another, for the page's own ``style``."""
    return "".join(line.strip() for file in files for line in (HERE / file).read_text(encoding="utf-8").splitlines())


def headers(style: str, *, vary: str = "Accept-Language", onward: str = "") -> dict[str, str]:
    """Of a page with that style.

    The Content-Security-Policy allows the style by its hash, pictures that stand in the page, forms to ourselves, and nothing
    else; ``onward`` is another origin that the answer to a form may lead on to, which browsers ask of it too.
    """
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    forms = f"'self' {onward}".rstrip()
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none';"
        f" form-action {forms}; frame-ancestors 'none'",
        "Cache-Control": "no-store",
        # Other sites are told nothing; to us a form has to say where it comes from.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Vary": vary,
    }


def template(name: str) -> Template:
    """Raises where a template names what it was not given."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
