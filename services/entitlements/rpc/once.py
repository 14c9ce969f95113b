"""Commands that are safe to repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message
from sqlalchemy.engine import Connection

from services.chassis.idempotency import Request, answer_once
from services.chassis.rpc.calls import Context, organization_of
from services.entitlements.deps import Deps
from services.kernel.ids import OrganizationId

M = TypeVar("M", bound=Message)


def once(
    deps: Deps,
    request: Request,
    context: Context,
    answer: type[M],
    work: Callable[[Connection, OrganizationId], M],
) -> M:
    """Run `work` in one transaction of the caller's organization; a repeated request gets its first answer.

    Raises:
        AlreadyExistsError: `REQUEST_ID_REUSED`.
    """
    owner = organization_of(context)
    answered: M = answer_once(deps.db, owner, request, answer, lambda tx: work(tx, owner))
    return answered
