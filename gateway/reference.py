"""The reference page at `/docs`: Swagger UI from a wheel, over our own `/openapi.json`, without any other origin.

No script is inline, so the page's policy can forbid all inline scripts; the page calls only this gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import openapi
from gateway.dialect import Dialect

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
# Swagger UI sets styles of elements as it draws, so inline styles must be allowed.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
# The assets change only with the wheel, and a page that is a day old still works.
_CACHED = {**_HEADERS, "Cache-Control": "public, max-age=86400"}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Farebox REST API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<main id="reference"><noscript>The page needs JavaScript; the document itself is at /openapi.json.</noscript></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "none",
  validatorUrl: null,
});
"""


def routes(dialects: Sequence[Dialect]) -> list[Route]:
    """`/openapi.json`, the page, and what the page loads."""
    document = msgspec.json.encode(openapi.document(dialects))
    return [
        _file("/openapi.json", document, "application/json", {}),
        _file("/docs", _PAGE.encode(), "text/html; charset=utf-8", _HEADERS),
        _file("/docs/start.js", _START.encode(), "text/javascript", _HEADERS),
        *(_file(f"/docs/{name}", _asset(name), kind, _CACHED) for name, kind in _ASSETS.items()),
    ]


def _asset(name: str) -> bytes:
    return files("swagger_ui").joinpath("static", name).read_bytes()


def _file(path: str, content: bytes, media_type: str, headers: dict[str, str]) -> Route:
    async def answer(_: Request) -> Response:
        return Response(content, media_type=media_type, headers=headers)

    return Route(path, answer)
