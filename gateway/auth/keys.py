"""Who calls: a Bearer key becomes an organization; rating is asked, and its answer is remembered for a second."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import grpc

from farebox.rating.v1 import organization_service_pb2, organization_service_pb2_grpc
from farebox.rating.v1.organization_pb2 import ApiKey, Organization
from gateway import clients
from gateway.problem import unauthorized

# How long an answer is used: a revoked key stops working within this time, as we promise.
REMEMBER_SECONDS = 1.0
# A key in use is checked again after this time, while its answer is still valid, so that nobody waits for rating.
RENEW_SECONDS = 0.5
# How many keys are remembered, including wrong ones: some megabytes at most, whatever callers send.
MAX_REMEMBERED = 10_000
# Longer than any key we make; a longer text is refused before it costs a call.
MAX_KEY_LENGTH = 255
PREFIXES = ("sk_", "pk_")
SCHEME = "bearer "


@dataclass(frozen=True)
class Caller:
    """The owner of a presented key.

    Attributes:
        organization: the organization that owns it.
        publishable: whether it is a `pk_` key, which may read plans and nothing else.
        scopes: what a restricted key may do; empty for everything that its kind may.
        key_id: the Farebox id of the key.
    """

    organization: Organization
    publishable: bool
    scopes: frozenset[str] = frozenset()
    key_id: str = ""


# Who calls an operation that takes anybody.
NOBODY = Caller(Organization(), publishable=True)


@dataclass
class _Known:
    """What is remembered of a key.

    Attributes:
        asked_at: when rating was asked, by the loop's clock.
        answer: the owner of the key; None for an unknown key.
        successor: the next answer, requested while the present one is still valid.
    """

    asked_at: float
    answer: asyncio.Task[Caller | None]
    successor: _Known | None = None

    def is_believed(self, now: float) -> bool:
        """Whether the answer may still be used, or waited for."""
        return now - self.asked_at < REMEMBER_SECONDS and not self.is_failed

    @property
    def is_failed(self) -> bool:
        """Whether rating could not answer."""
        return self.answer.done() and (self.answer.cancelled() or self.answer.exception() is not None)


class Keys:
    """Authenticates keys; concurrent requests with the same key make one call.

    Attributes:
        remembered: how many keys have an answer or are being asked about.
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
            Problem: 401, it is not a valid key.
            grpc.RpcError: rating cannot answer.
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
                # Remembered too, so that a wrong key costs rating one call each second, not one for each request.
                return None
            raise
        found = answer.api_key
        return Caller(answer.organization, found.kind == ApiKey.KIND_PUBLISHABLE, frozenset(found.scopes), found.id)

    def _forget(self, now: float) -> None:
        """Drop answers that are no longer valid, and everything if that makes no room."""
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
