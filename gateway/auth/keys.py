"""Who calls: a Bearer key becomes an organization, asked of rating and remembered for a second."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import grpc

from farebox.rating.v1 import organization_service_pb2, organization_service_pb2_grpc
from farebox.rating.v1.organization_pb2 import ApiKey, Organization
from gateway import clients
from gateway.problem import unauthorized

# How long an answer is believed: a revoked key stops working within this, which is also what we promise.
REMEMBER_SECONDS = 1.0
# A key in use is asked for again this long after it was, while the answer is still believed: nobody waits for rating.
RENEW_SECONDS = 0.5
# Keys remembered at a time, wrong ones included: some megabytes at the most, whoever knocks.
MAX_REMEMBERED = 10_000
# Longer than any key we make; a longer text is refused before it costs a call.
MAX_KEY_LENGTH = 255
PREFIXES = ("sk_", "pk_")
SCHEME = "bearer "


@dataclass(frozen=True)
class Caller:
    """Whose key was presented.

    Attributes:
        organization: its owner.
        publishable: whether it is a `pk_` key, which may read plans and nothing else.
    """

    organization: Organization
    publishable: bool


@dataclass
class _Known:
    """What is believed of a key.

    Attributes:
        asked_at: when it was asked, by the loop's clock.
        answer: whose key it is; None for nobody's.
        successor: the next answer, while the present one is still believed.
    """

    asked_at: float
    answer: asyncio.Task[Caller | None]
    successor: _Known | None = None

    def is_believed(self, now: float) -> bool:
        """Whether it may still be answered, or waited for."""
        return now - self.asked_at < REMEMBER_SECONDS and not self.is_failed

    @property
    def is_failed(self) -> bool:
        """Whether rating could not say."""
        return self.answer.done() and (self.answer.cancelled() or self.answer.exception() is not None)


class Keys:
    """Authenticates keys; concurrent questions about one key are one call.

    Attributes:
        remembered: keys whose answer is known or being asked.
    """

    def __init__(self, organizations: organization_service_pb2_grpc.OrganizationServiceAsyncStub) -> None:
        self._organizations = organizations
        self._known: dict[str, _Known] = {}

    @property
    def remembered(self) -> int:
        """How many keys are remembered."""
        return len(self._known)

    async def caller_of(self, authorization: str) -> Caller:
        """Who presents this `Authorization` header.

        Raises:
            Problem: 401, it is no valid key.
            grpc.RpcError: rating cannot say.
        """
        answer = self._answer(_key(authorization))
        caller = answer.result() if answer.done() else await asyncio.shield(answer)
        if caller is None:
            raise unauthorized()
        return caller

    def _answer(self, key: str) -> asyncio.Task[Caller | None]:
        now = asyncio.get_running_loop().time()
        known = self._known.get(key)
        if known is None:
            known = self._remember(key, now)
        elif known.successor is not None and (_is_answered(known.successor) or not known.is_believed(now)):
            known = self._known[key] = known.successor
        if not known.is_believed(now):
            known = self._remember(key, now)
        elif known.successor is None and now - known.asked_at >= RENEW_SECONDS:
            known.successor = _Known(now, asyncio.ensure_future(self._ask(key)))
        return known.answer

    def _remember(self, key: str, now: float) -> _Known:
        if len(self._known) >= MAX_REMEMBERED:
            self._forget(now)
        known = self._known[key] = _Known(now, asyncio.ensure_future(self._ask(key)))
        return known

    async def _ask(self, key: str) -> Caller | None:
        try:
            answer = await self._organizations.AuthenticateApiKey(
                organization_service_pb2.AuthenticateApiKeyRequest(token=key), timeout=clients.DEADLINE_SECONDS
            )
        except grpc.RpcError as error:
            if error.code() in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.NOT_FOUND}:
                # Remembered too, so that a wrong key costs rating one call a second and not one a request.
                return None
            raise
        return Caller(answer.organization, answer.api_key.kind == ApiKey.KIND_PUBLISHABLE)

    def _forget(self, now: float) -> None:
        """Drop what is no longer believed, and everything if that makes no room."""
        self._known = {key: known for key, known in self._known.items() if now - known.asked_at < REMEMBER_SECONDS}
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()


def _is_answered(known: _Known) -> bool:
    return known.answer.done() and not known.is_failed


def _key(authorization: str) -> str:
    if authorization[: len(SCHEME)].lower() != SCHEME:
        raise unauthorized()
    key = authorization[len(SCHEME) :].strip()
    if not key.startswith(PREFIXES) or len(key) > MAX_KEY_LENGTH:
        raise unauthorized()
    return key
