"""Keys are asked of rating once a second at the most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from farebox.rating.v1 import organization_service_pb2
from farebox.rating.v1.organization_pb2 import ApiKey, Organization
from gateway.auth import keys as auth
from gateway.auth.keys import Keys
from gateway.auth.scopes import Scope, require
from gateway.problem import Problem
from services.kernel.errors import UnauthenticatedError
from tests.support.gateway import bare, refused

KNOWN = organization_service_pb2.AuthenticateApiKeyResponse(
    api_key=ApiKey(kind=ApiKey.KIND_PUBLISHABLE), organization=Organization(id="o")
)


class Rating:
    """Answers, and counts how often it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, 0

    async def AuthenticateApiKey(self, _: Any, **options: float) -> Any:
        assert options["timeout"] > 0
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def run(rating: Rating, story: Callable[[Keys], Any]) -> None:
    async def start() -> None:
        await story(Keys(rating))

    asyncio.run(start())


def test_concurrent_questions_are_one_call() -> None:
    rating = Rating(KNOWN)

    async def story(keys: Keys) -> None:
        callers = await asyncio.gather(*(keys.caller_of("Bearer pk_test_1") for _ in range(20)))
        assert {caller.organization.id for caller in callers} == {"o"}
        assert callers[0].publishable

    run(rating, story)
    assert rating.asked == 1


def test_an_answer_is_believed_for_a_second_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A revoked key stops working within the second that we promise."""
    rating = Rating(KNOWN)
    assert auth.REMEMBER_SECONDS <= 1.0

    async def story(keys: Keys) -> None:
        await keys.caller_of("Bearer sk_1")
        await keys.caller_of("Bearer sk_1")
        assert rating.asked == 1
        rating.answer = refused(UnauthenticatedError("API_KEY_INVALID", "revoked"))
        monkeypatch.setattr(auth, "REMEMBER_SECONDS", 0.0)
        with pytest.raises(Problem):
            await keys.caller_of("Bearer sk_1")

    run(rating, story)


def test_a_key_in_use_is_renewed_while_its_answer_is_still_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for rating once a second: the next answer is fetched before the present one is too old."""
    rating = Rating(KNOWN)
    monkeypatch.setattr(auth, "RENEW_SECONDS", 0.0)

    async def story(keys: Keys) -> None:
        await keys.caller_of("Bearer sk_1")
        rating.answer = bare(grpc.StatusCode.UNAVAILABLE)
        assert (await keys.caller_of("Bearer sk_1")).organization.id == "o"
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert rating.asked > 1
        assert (await keys.caller_of("Bearer sk_1")).organization.id == "o", "a failed renewal takes nothing away"

    run(rating, story)


def test_a_renewal_that_refuses_a_key_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rating = Rating(KNOWN)
    monkeypatch.setattr(auth, "RENEW_SECONDS", 0.0)

    async def story(keys: Keys) -> None:
        await keys.caller_of("Bearer sk_1")
        rating.answer = refused(UnauthenticatedError("API_KEY_INVALID", "revoked"))
        await keys.caller_of("Bearer sk_1")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(Problem):
            await keys.caller_of("Bearer sk_1")

    run(rating, story)


def test_a_wrong_key_is_remembered_too() -> None:
    rating = Rating(refused(UnauthenticatedError("API_KEY_INVALID", "no such key")))

    async def story(keys: Keys) -> None:
        for _ in range(3):
            with pytest.raises(Problem) as problem:
                await keys.caller_of("Bearer sk_wrong")
            assert problem.value.status == 401

    run(rating, story)
    assert rating.asked == 1


def test_a_failure_is_not_remembered() -> None:
    rating = Rating(bare(grpc.StatusCode.UNAVAILABLE))

    async def story(keys: Keys) -> None:
        with pytest.raises(grpc.RpcError):
            await keys.caller_of("Bearer sk_1")
        rating.answer = KNOWN
        assert (await keys.caller_of("Bearer sk_1")).organization.id == "o"

    run(rating, story)


def test_what_cannot_be_a_key_costs_no_call() -> None:
    rating = Rating(KNOWN)

    async def story(keys: Keys) -> None:
        for header in ("", "Basic abc", "Bearer ", "Bearer nonsense", f"Bearer sk_{'x' * 300}"):
            with pytest.raises(Problem):
                await keys.caller_of(header)

    run(rating, story)
    assert rating.asked == 0


def test_memory_stays_bounded_whoever_knocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_REMEMBERED", 10)

    async def story(keys: Keys) -> None:
        for number in range(50):
            await keys.caller_of(f"Bearer sk_{number}")
            assert keys.remembered <= 10

    run(Rating(KNOWN), story)


@dataclass(frozen=True)
class Route:
    """What is known of an operation before it is answered."""

    scope: Scope
    permission: str


def test_a_publishable_key_goes_only_where_it_may() -> None:
    caller = auth.Caller(Organization(), publishable=True)
    require(caller, Route(Scope.PUBLISHABLE, "catalog:read"))
    with pytest.raises(Problem) as problem:
        require(caller, Route(Scope.SECRET, "catalog:read"))
    assert (problem.value.status, problem.value.reason) == (403, "secret_key_required")


def test_a_restricted_key_goes_only_where_its_scopes_say() -> None:
    """What needs no scope is open to it, too."""
    caller = auth.Caller(Organization(), publishable=False, scopes=frozenset({"catalog:read"}))
    for permission in ("catalog:read", ""):
        require(caller, Route(Scope.SECRET, permission))
    with pytest.raises(Problem) as problem:
        require(caller, Route(Scope.SECRET, "catalog:write"))
    assert (problem.value.status, problem.value.reason) == (403, "scope_missing")
