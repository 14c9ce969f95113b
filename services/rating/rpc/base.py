"""What rating's servicers share: a command is one transaction, answered once for its request_id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message
from sqlalchemy.engine import Connection

from services.chassis import idempotency
from services.chassis.rpc.calls import Context, organization_of
from services.kernel.ids import OrganizationId
from services.rating.deps import Deps

M = TypeVar("M", bound=Message)


class RatingServicer:
    """A servicer with rating's dependencies."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    def answer(
        self,
        request: Any,
        context: Context,
        answer_type: type[M],
        work: Callable[[Connection, OrganizationId], M],
    ) -> M:
        """Run a command for the caller's organization; a repeated request_id gets the first answer."""
        organization = organization_of(context)
        answer: M = idempotency.answer_once(
            self.deps.db, organization, request, answer_type, lambda tx: work(tx, organization)
        )
        return answer
