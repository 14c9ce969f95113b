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


class Keys:
    """Authenticates keys; concurrent questions about one key are one call.

    Attributes:
        remembered: keys whose answer is known or being asked.
    """

    def __init__(self, organizations: organization_service_pb2_grpc.OrganizationServiceAsyncStub) -> None:
        self._organizations = organizations
        self._answers: dict[str, tuple[float, asyncio.Task[Caller | None]]] = {}

    @property
    def remembered(self) -> int:
        """How many keys are remembered."""
        return len(self._answers)

    async def caller_of(self, authorization: str) -> Caller:
        """Who presents this `Authorization` header.

        Raises:
            Problem: 401, it is no valid key.
            grpc.RpcError: rating cannot say.
        """
        key = _key(authorization)
        caller = await asyncio.shield(self._answer(key))
        if caller is None:
            raise unauthorized()
        return caller

    def _answer(self, key: str) -> asyncio.Task[Caller | None]:
        now = asyncio.get_running_loop().time()
        known = self._answers.get(key)
        if known is not None and now - known[0] < REMEMBER_SECONDS and not _failed(known[1]):
            return known[1]
        if len(self._answers) >= MAX_REMEMBERED:
            self._forget(now)
        task = asyncio.ensure_future(self._ask(key))
        self._answers[key] = (now, task)
        return task

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
        self._answers = {key: held for key, held in self._answers.items() if now - held[0] < REMEMBER_SECONDS}
        if len(self._answers) >= MAX_REMEMBERED:
            self._answers.clear()


def _failed(task: asyncio.Task[Caller | None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _key(authorization: str) -> str:
    if authorization[: len(SCHEME)].lower() != SCHEME:
        raise unauthorized()
    key = authorization[len(SCHEME) :].strip()
    if not key.startswith(PREFIXES) or len(key) > MAX_KEY_LENGTH:
        raise unauthorized()
    return key
