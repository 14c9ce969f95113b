"""Limits of keys, organizations and expensive calls, and the headers that every answer has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from farebox.rating.v1 import catalog_service_pb2
from farebox.rating.v1.organization_pb2 import ApiKey, Organization
from gateway import app
from gateway.auth.keys import Caller
from gateway.config import GatewaySettings
from gateway.dialects import DIALECTS
from gateway.limit_terms import BUDGET_SECONDS, Budget, Terms
from gateway.limits import MAX_WINDOWS, Limits
from gateway.operation import Operation
from gateway.problem import Problem
from tests.support.gateway import ORGANIZATION_ID, PUBLISHABLE, SECRET, FakeServices

PLANS = "/api/v1/plans"
SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def caller(key: str = "k", organization: str = "o") -> Caller:
    return Caller(Organization(id=organization), publishable=False, key_id=key)


def take(limits: Limits, by: Caller, budget: Budget | None = None) -> dict[str, int] | Problem:
    """What is left, or the refusal."""
    lines: list[tuple[bytes, bytes]] = []
    try:
        limits.take(by, budget, lines)
    except Problem as problem:
        return problem
    return {name.decode().removeprefix("ratelimit-"): int(value) for name, value in lines}


def refused(limits: Limits, by: Caller, budget: Budget | None = None) -> bool:
    return isinstance(take(limits, by, budget), Problem)


def test_a_window_is_counted_down_and_begins_anew() -> None:
    clock = Clock()
    limits = Limits(Terms(seconds=10, key=2, organization=0), clock)
    assert take(limits, caller()) == {"limit": 2, "remaining": 1, "reset": 10}
    clock.now += 6.5
    assert take(limits, caller()) == {"limit": 2, "remaining": 0, "reset": 4}
    problem = take(limits, caller())
    assert isinstance(problem, Problem)
    assert (problem.status, problem.headers["Retry-After"], problem.headers["RateLimit-Remaining"]) == (429, "4", "0")
    clock.now += 3.5
    assert take(limits, caller()) == {"limit": 2, "remaining": 1, "reset": 10}


def test_a_key_limits_nobody_else_and_all_keys_share_the_organization() -> None:
    """The nearest limit is told; a key that is refused takes nothing from its organization."""
    limits = Limits(Terms(key=2, organization=3), Clock())
    assert [refused(limits, caller("a")) for _ in range(4)] == [False, False, True, True]
    assert take(limits, caller("b")) == {"limit": 3, "remaining": 0, "reset": 10}
    assert refused(limits, caller("c"))
    assert not refused(limits, caller("d", "another"))


def test_expensive_calls_have_a_budget_of_their_own() -> None:
    """Which is the organization's, whichever key is used, and leaves other calls alone."""
    clock = Clock()
    limits = Limits(Terms(budgets=((Budget.CLOCK, 1), (Budget.DOCUMENTS, 0), (Budget.FORECASTS, 5))), clock)
    assert take(limits, caller("a"), Budget.CLOCK) == {"limit": 1, "remaining": 0, "reset": BUDGET_SECONDS}
    assert refused(limits, caller("b"), Budget.CLOCK)
    assert not any(refused(limits, caller("a"), budget) for budget in (None, Budget.DOCUMENTS, Budget.FORECASTS))
    clock.now += BUDGET_SECONDS
    assert not refused(limits, caller("b"), Budget.CLOCK)


def test_without_limits_nothing_is_counted_or_told() -> None:
    limits = Limits(Terms(key=0, organization=0))
    assert (take(limits, caller()), limits.counted) == ({}, 0)


def test_windows_are_bounded() -> None:
    """However many keys there are; those whose window runs stay as long as there is room."""
    clock = Clock()
    limits = Limits(Terms(key=1, organization=0), clock)
    for number in range(MAX_WINDOWS - 1):
        take(limits, caller(str(number)))
    clock.now += 10
    take(limits, caller("running"))
    take(limits, caller("next"))
    assert limits.counted == 2
    assert refused(limits, caller("running"))


@pytest.mark.parametrize(
    ("path", "budget"),
    [
        ("/test_clock/advance", Budget.CLOCK),
        ("/invoices/{id}.pdf", Budget.DOCUMENTS),
        ("/customers/{external_customer_id}/projected_usage", Budget.FORECASTS),
        ("/invoices/{id}/rebuild", Budget.FORECASTS),
        ("/fees/{id}/explanation", Budget.FORECASTS),
    ],
)
def test_an_expensive_operation_declares_its_budget(path: str, budget: Budget) -> None:
    budgets = {
        operation.path: operation.budget for operation in DIALECTS[-1].operations if isinstance(operation, Operation)
    }
    assert budgets[path] is budget
    assert len(list(filter(None, budgets.values()))) >= 5


def test_the_settings_say_the_limits() -> None:
    settings = GatewaySettings(limit_seconds=1, limit_key=2, limit_organization=3, limit_clock=4, limit_documents=5)
    budgets = ((Budget.CLOCK, 4), (Budget.DOCUMENTS, 5), (Budget.FORECASTS, 600))
    assert settings.limits == Terms(seconds=1, key=2, organization=3, budgets=budgets)
    assert GatewaySettings().limits == Terms()


async def answers(terms: Terms, requests: Sequence[tuple[str, str, dict[str, str]]], **options: Any) -> Any:
    """The answers of a whole gateway, one after the other."""
    services: Any = FakeServices(Organization(id=ORGANIZATION_ID))
    services.keys[PUBLISHABLE] = ApiKey(id="publishable", kind=ApiKey.KIND_PUBLISHABLE)
    services.on("ListPlans", catalog_service_pb2.ListPlansResponse())
    services.close = services.drain = lambda: asyncio.sleep(0)
    application = app.create_app(lambda: services, DIALECTS, limits=terms, **options)
    transport = httpx.ASGITransport(app=application)
    async with running(application), httpx.AsyncClient(transport=transport, base_url="http://farebox") as client:
        return [await client.request(method, path, headers=headers) for method, path, headers in requests]


class running:  # noqa: N801 - reads as a function
    """The life of an application: as a server does, it is started before the first request and told of its end."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._heard: asyncio.Queue[Any] = asyncio.Queue()

    async def __aenter__(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._task = asyncio.ensure_future(self._application(scope, self._told.get, self._heard.put))
        await self._told.put({"type": "lifespan.startup"})
        assert (await self._heard.get())["type"] == "lifespan.startup.complete"

    async def __aexit__(self, *_: object) -> None:
        await self._told.put({"type": "lifespan.shutdown"})
        await self._task


def bearer(key: str = SECRET) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_limited_key_is_refused_in_its_dialects_words() -> None:
    """Lago's clients and Stripe's read a 429 each in their own shape; another key goes on."""
    requests = [
        ("GET", PLANS, bearer()),
        ("GET", PLANS, bearer()),
        ("POST", "/v2/billing/meter_events", bearer()),
        ("GET", PLANS, bearer(PUBLISHABLE)),
    ]
    first, lago, stripe, other = asyncio.run(answers(Terms(key=1), requests))
    assert (first.status_code, first.headers["RateLimit-Limit"], first.headers["RateLimit-Remaining"]) == (
        200,
        "1",
        "0",
    )
    assert (lago.status_code, lago.json()["code"], lago.json()["status"]) == (429, "too_many_requests", 429)
    assert 1 <= int(lago.headers["Retry-After"]) <= 10
    assert lago.headers["RateLimit-Reset"] == lago.headers["Retry-After"]
    assert (stripe.status_code, stripe.json()["error"]["code"]) == (429, "too_many_requests")
    assert other.status_code == 200


def test_every_answer_has_the_security_headers() -> None:
    """Successes, refusals, pages and preflights."""
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    requests = [
        ("GET", PLANS, bearer()),
        ("GET", PLANS, {}),
        ("GET", "/nowhere", {}),
        ("GET", "/healthz", {}),
        ("GET", "/openapi.json", {}),
        ("GET", "/docs", {}),
        ("OPTIONS", PLANS, preflight),
    ]
    options = {"public_url": "https://billing.example", "cors_origins": ["https://app.example"]}
    found = asyncio.run(answers(Terms(), requests, **options))
    assert [answer.status_code for answer in found] == [200, 401, 404, 200, 200, 200, 200]
    for answer, (_, path, _) in zip(found, requests, strict=True):
        for name, value in {**SECURITY, "Strict-Transport-Security": "max-age=15552000"}.items():
            # The reference page loads its own scripts and styles.
            assert (answer.headers.get_list(name) == [value]) or (path == "/docs" and name.startswith("Content-")), path


def test_without_tls_browsers_are_not_told_to_use_it() -> None:
    (answer,) = asyncio.run(answers(Terms(), [("GET", PLANS, bearer())], public_url="http://localhost"))
    assert "Strict-Transport-Security" not in answer.headers
