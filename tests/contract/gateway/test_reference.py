"""The reference page: everything that it loads comes from this gateway, and no script is inline."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from gateway.app import create_app
from gateway.clients import Clients
from gateway.config import GatewaySettings
from gateway.dialects import DIALECTS


def fetch(path: str) -> httpx.Response:
    """What the whole application answers; the page needs no service."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(lambda: Clients(GatewaySettings()), DIALECTS))
        async with httpx.AsyncClient(transport=transport, base_url="http://farebox") as client:
            return await client.get(path)

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def page() -> httpx.Response:
    return fetch("/docs")


def test_the_page_loads_nothing_from_elsewhere(page: httpx.Response) -> None:
    """Every address on the page is answered here, with the type that it is loaded as."""
    assert page.headers["Content-Type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for address in loaded:
        assert address.startswith("/docs/")
        answer = fetch(address)
        assert (answer.status_code, answer.headers["X-Content-Type-Options"]) == (200, "nosniff")
        assert answer.headers["Content-Type"].startswith("text/css" if address.endswith(".css") else "text/javascript")


def test_no_script_is_inline(page: httpx.Response) -> None:
    """The policy forbids inline scripts, and the page has none."""
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert (policy["script-src"], policy["default-src"]) == ("'self'", "'none'")
    assert re.findall(r"<script(?![^>]*\bsrc=)", page.text) == []


def test_the_page_shows_the_committed_document() -> None:
    """What the page reads is the document of this gateway's operations."""
    document = fetch("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "/events" in document["paths"]
