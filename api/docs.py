"""The API's pages for people, with every asset shipped: nothing is fetched from anywhere when they are opened."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse

from core.errors import NotFound

router = APIRouter(include_in_schema=False)
ASSETS = Path(fastapi_offline.__file__).parent / "static"
SHIPPED = {"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"}


@router.get("/docs")
@router.get("/api-docs")
async def documentation() -> HTMLResponse:
    """Swagger UI over ``/openapi.json``."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Pilothouse API",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
    )


@router.get("/docs/{name}")
async def asset(name: str) -> FileResponse:
    """One of the page's own files."""
    if name not in SHIPPED:
        raise NotFound("There is no such file.")
    return FileResponse(ASSETS / name, headers={"Cache-Control": "public, max-age=86400"})
