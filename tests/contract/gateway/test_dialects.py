"""Dialects are data: another takes a few lines, may share every path, and is distinguished by a header or a cookie."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from msgspec import Struct

from gateway.app import Gateway as Application
from gateway.app import create_app
from gateway.auth.keys import Caller, Keys
from gateway.config import GatewaySettings
from gateway.dialect import Dialect, Head
from gateway.dialects import DIALECTS
from gateway.operation import Nothing, Request, not_offered, operation
from tests.support.gateway import SECRET, new_gateway


class Shout(Struct):
    """Another dialect's answer, and its refusal."""

    LOUD: str


# The dialect, in ten lines.
async def plans(request: Request[Nothing, Nothing, Nothing]) -> Shout:
    """List plans."""
    return Shout(request.call.organization.timezone)


async def by_own_header(head: Head, keys: Keys) -> Caller:
    return await keys.caller_of(f"Bearer {head.headers.get('x-api-key') or head.cookie('session') or ''}")


OTHER = Dialect(
    name="other",
    bases=("/api/v1",),
    operations=(operation("GET", "/plans", plans), *not_offered("GET", "/wallets", "there are none")),
    render_problem=lambda problem, _: Shout(problem.reason.upper()),
    claims=lambda head: "x-api-key" in head.headers or head.cookie("session") is not None,
    authenticate=by_own_header,
)


def ask(path: str, **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        application: Any = Application((OTHER, *DIALECTS), new_gateway().services)  # type: ignore[arg-type]
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://farebox") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("headers", [{"X-API-Key": SECRET}, {"Cookie": f"a=b; session={SECRET}"}])
def test_a_path_of_another_is_claimed_by_a_header_or_a_cookie(headers: dict[str, str]) -> None:
    """With the same path and method, a caller with the dialect's own credentials gets that dialect's answer."""
    assert ask("/api/v1/plans", **headers).json() == {"LOUD": "Europe/Paris"}


def test_who_claims_nothing_gets_the_last_dialect() -> None:
    response = ask("/api/v1/plans", Authorization=f"Bearer {SECRET}")
    assert response.json()["code"] == "not_implemented"
    assert ask("/nowhere").json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [("/api/v1/taxes", 404, "NOT_FOUND"), ("/api/v1/wallets", 501, "NOT_IMPLEMENTED")],
)
def test_refusals_are_in_the_words_of_the_dialect_that_claimed(path: str, status: int, said: str) -> None:
    """A route that only another dialect has is not reached from here."""
    response = ask(path, **{"X-API-Key": SECRET})
    assert (response.status_code, response.json()) == (status, {"LOUD": said})


def test_a_wrong_key_is_refused_in_its_words_too() -> None:
    assert ask("/api/v1/plans", **{"X-API-Key": "sk_wrong"}).json() == {"LOUD": "UNAUTHORIZED"}


def test_a_cookie_that_cannot_be_read_claims_nothing() -> None:
    assert ask("/api/v1/plans", Cookie="session[=;;\x01").status_code == 401


def asked(origins: str, origin: str) -> httpx.Response:
    settings = GatewaySettings(cors_origins=origins)
    app = create_app(new_gateway, DIALECTS, "", settings.allowed_origins)  # type: ignore[arg-type]

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://farebox") as client:
            return await client.get("/openapi.json", headers={"Origin": origin})

    return asyncio.run(send())


def test_pages_of_listed_origins_may_call_and_no_others() -> None:
    """CORS is an allow-list, empty by default."""
    allow = "access-control-allow-origin"
    assert asked("https://a.example,https://b.example", "https://b.example").headers[allow] == "https://b.example"
    assert allow not in asked("https://a.example", "https://evil.example").headers
    assert allow not in asked("", "https://a.example").headers
    for wrong in ("*", "a.example", "https://a.example/path"):
        with pytest.raises(ValueError, match="cors_origins"):
            GatewaySettings(cors_origins=wrong)


def test_the_reference_is_served() -> None:
    assert asked("", "https://a.example").json()["openapi"] == "3.1.0"
