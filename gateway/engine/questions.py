"""Concurrent `can` questions of an organization become one call to entitlements, as events become one to the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import grpc

from farebox.entitlements.v1 import access_service_pb2, access_service_pb2_grpc
from farebox.entitlements.v1.access_service_pb2 import CheckRequest
from farebox.entitlements.v1.entitlement_pb2 import Access
from gateway import clients
from gateway.changes import Changes, Newest
from gateway.engine.gathering import Bounds, Gathering

BOUNDS = Bounds(
    # A quarter of what one call may hold, as for events.
    batch=250,
    # Far more than this many codes need.
    batch_bytes=1024 * 1024,
    # One call is answered while the next is read; more would only split the batches.
    under_way=2,
    # More than a second's worth of answers; callers beyond it would time out in the queue.
    waiting=10_000,
    things="questions",
)

# Each replica of entitlements answers from its own memory, which may be a tenth of a second behind another's (ADR 11).
# So that usage never shrinks from one answer to the next, no answer may be older than the ones of this last while.
REVISION_SECONDS = 1.0


class Checked(NamedTuple):
    """An answer, and the positions of which it was told that they lie behind a change; nearly always none."""

    access: Access
    behind: Sequence[str]


class Questions:
    """Folds single questions about access into batches; use it from one event loop."""

    def __init__(
        self, access: access_service_pb2_grpc.AccessServiceAsyncStub, changes: Changes, bounds: Bounds = BOUNDS
    ) -> None:
        self._access = access
        self._changes = changes
        self._revisions = Newest(REVISION_SECONDS)
        self._gathering: Gathering[CheckRequest, Checked] = Gathering(self._deliver, bounds)

    async def check(self, organization_id: str, question: CheckRequest) -> Checked:
        """The answer to one question.

        Raises:
            Problem: 429, too many questions are waiting.
            grpc.RpcError: entitlements refused the question or could not be reached.
        """
        return await self._gathering.ask(organization_id, question)

    def note_revision(self, organization_id: str, revision: int) -> None:
        """Answer nothing older than this revision, at which a change of the organization is found."""
        self._revisions.note(organization_id, revision)

    async def drain(self) -> None:
        """Wait until every question is answered."""
        await self._gathering.drain()

    async def _deliver(self, organization_id: str, questions: list[CheckRequest]) -> Sequence[Checked | BaseException]:
        # One of them is enough, as all are answered at one revision.
        questions[0].at_least_revision = self._revisions.of(organization_id)
        if len(questions) == 1:
            return [await self._one(organization_id, questions[0])]
        request = access_service_pb2.BatchCheckRequest(checks=questions)
        try:
            call = clients.begin(self._access.BatchCheck, request, organization_id, self._changes)
            answers, behind = (await call).answers, await clients.behind(call)
            self._revisions.note(organization_id, answers[0].revision)
            return [Checked(access, behind) for access in answers]
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
        # A wrong question makes entitlements refuse the whole batch. Asked one by one, only that one is refused, in its
        # caller's words.
        alone = (self._one(organization_id, question) for question in questions)
        return await asyncio.gather(*alone, return_exceptions=True)

    async def _one(self, organization_id: str, question: CheckRequest) -> Checked:
        call = clients.begin(self._access.Check, question, organization_id, self._changes)
        access, behind = (await call).access, await clients.behind(call)
        self._revisions.note(organization_id, access.revision)
        return Checked(access, behind)
