"""A servicer's commands: each is one transaction of the caller's organization and safe to repeat.

    @command(pb.CreatePlanRequest, pb.CreatePlanResponse, reads=lambda request: plan_from_pb(request.plan))
    def CreatePlan(self, tx, organization, draft):
        \"\"\"Create a plan.\"\"\"
        return pb.CreatePlanResponse(plan=plan_to_pb(plans.create_plan(self.deps, tx, organization, draft)))

The request is read before the transaction begins, so a faulty request costs the database nothing. A repeat with the
same `request_id` gets the first answer (chassis.idempotency), and errors leave as `answers` lets them. A service whose
`Deps` say `is_audited` notes each command in its transaction (chassis.audit). A command that needs more than one
transaction, or one of the worker role, is written with `answers`, and calls `note` itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol, TypeVar, overload

from google.protobuf.message import Message
from sqlalchemy.engine import Connection

from services.chassis import audit, idempotency
from services.chassis.db import Database
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.kernel.ids import OrganizationId


class HasDatabase(Protocol):
    """The part of a service's dependencies that a command needs."""

    @property
    def db(self) -> Database:
        """The service's database."""


class CommandServicer(Protocol):
    """A servicer with commands."""

    @property
    def deps(self) -> HasDatabase:
        """The service's dependencies."""


S = TypeVar("S", bound=CommandServicer)
Q = TypeVar("Q", bound=idempotency.Request)
A = TypeVar("A", bound=Message)
R = TypeVar("R")

Work = Callable[[S, Connection, OrganizationId, R], A]
Method = Callable[[S, Q, Context], A]


def note(servicer: CommandServicer, tx: Connection, context: Context, command: str, answer: Message) -> None:
    """Note a command in the audit log of a service that has one; also for commands that are written with `answers`."""
    if getattr(servicer.deps, "is_audited", False):
        audit.note(tx, organization_of(context), context, command, answer)


@overload
def command(request_type: type[Q], answer_type: type[A]) -> Callable[[Work[S, Q, A]], Method[S, Q, A]]: ...


@overload
def command(
    request_type: type[Q], answer_type: type[A], *, reads: Callable[[Q], R]
) -> Callable[[Work[S, R, A]], Method[S, Q, A]]: ...


def command(
    request_type: type[Q], answer_type: type[A], *, reads: Callable[[Q], R] | None = None
) -> Callable[[Work[S, R | Q, A]], Method[S, Q, A]]:
    """Make a servicer method from a function that works in a transaction.

    Args:
        request_type: the message that the method takes.
        answer_type: the message that it answers.
        reads: turns the request into what the function is given; without it, the request itself. It runs first, and may
            raise InvalidArgumentError.

    Raises:
        TypeError: at decoration, if the messages are not those of the decorated method.
    """

    def decorate(work: Work[S, R | Q, A]) -> Method[S, Q, A]:
        named = (request_type.__name__, answer_type.__name__)
        if named != (f"{work.__name__}Request", f"{work.__name__}Response"):
            raise TypeError(f"{work.__qualname__} is a command of {named}")

        @functools.wraps(work)
        def method(self: S, request: Q, context: Context) -> A:
            organization = organization_of(context)
            read: R | Q = request if reads is None else reads(request)

            def noted(tx: Connection) -> A:
                answer = work(self, tx, organization, read)
                note(self, tx, context, work.__name__, answer)
                return answer

            return idempotency.answer_once(self.deps.db, organization, request, answer_type, noted)

        return answers(method)

    return decorate
