"""A servicer's commands: each is one transaction of the caller's organization and safe to repeat.

    @command(pb.CreatePlanRequest, pb.CreatePlanResponse, reads=lambda request: plan_from_pb(request.plan))
    def CreatePlan(self, tx, organization, draft):
        \"\"\"Create a plan.\"\"\"
        return pb.CreatePlanResponse(plan=plan_to_pb(plans.create_plan(self.deps, tx, organization, draft)))

The request is read before the transaction begins, so a faulty request costs the database nothing. A repeat with the
same `request_id` gets the first answer (chassis.idempotency), and errors leave as `answers` lets them. A command that
needs more than one transaction, or one of the worker role, is written with `answers`.

A command that depends on what the service hears from another one states with `lacks` which of its answers might be
different if something was missed (chassis.rpc.changes). Such an answer is kept only after the service has asked for
news.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, overload

from google.protobuf.message import Message
from sqlalchemy.engine import Connection

from services.chassis import idempotency
from services.chassis.db import Database
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.changes import Hearing
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


class _LacksError(Exception):
    """The answer might be another one; what led to it is rolled back."""


@overload
def command(
    request_type: type[Q], answer_type: type[A], *, lacks: Callable[[A], bool] | None = None
) -> Callable[[Work[S, Q, A]], Method[S, Q, A]]: ...


@overload
def command(
    request_type: type[Q], answer_type: type[A], *, reads: Callable[[Q], R], lacks: Callable[[A], bool] | None = None
) -> Callable[[Work[S, R, A]], Method[S, Q, A]]: ...


def command(
    request_type: type[Q],
    answer_type: type[A],
    *,
    reads: Callable[[Q], R] | None = None,
    lacks: Callable[[A], bool] | None = None,
) -> Callable[[Work[S, R | Q, A]], Method[S, Q, A]]:
    """Make a servicer method from a function that works in a transaction.

    Args:
        request_type: the message that the method takes.
        answer_type: the message that it answers.
        reads: turns the request into what the function is given; without it, the request itself. It runs first, and may
            raise InvalidArgumentError.
        lacks: whether an answer might be different if the service has missed something; left out by services that
            follow nobody. The servicer then has a `freshness`.

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

            def once(lacking: Callable[[A], bool] | None) -> A:
                def run(tx: Connection) -> A:
                    answer = work(self, tx, organization, read)
                    if lacking is not None and lacking(answer):
                        raise _LacksError
                    return answer

                return idempotency.answer_once(self.deps.db, organization, request, answer_type, run)

            if lacks is None:
                return once(None)
            return _with_news(self, context, lambda: once(lacks), lambda: once(None))

        return answers(method)

    return decorate


def _with_news(servicer: Any, context: Context, first: Callable[[], A], again: Callable[[], A]) -> A:
    """An answer that misses nothing: where the first might be another it is undone, and given again after the news."""
    hearing = Hearing(servicer, context)
    try:
        reply = first()
    except _LacksError:
        hearing.newest()
        reply = again()
    hearing.tell()
    return reply
