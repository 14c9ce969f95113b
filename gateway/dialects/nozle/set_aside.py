"""What could not be done by itself: a period whose usage cannot be priced, a draft that cannot be finalized."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from farebox.rating.v1 import invoice_service_pb2 as rpc
from farebox.rating.v1.set_aside_pb2 import SetAside as SetAsideMessage
from gateway.engine.paging import PageQuery
from gateway.listing import listed
from gateway.operation import Listed, Nothing, Request, operation
from gateway.projection import project
from gateway.schema import Instant, Words, of

WORK = Words(SetAsideMessage.Work, "WORK_")


class SetAside(Struct, kw_only=True):
    """Something that was left out alone, and is tried again ever more rarely; everything else goes on.

    Null where it is of no subscription, customer or invoice.
    """

    work: Annotated[str, WORK.told]
    lago_subscription_id: Annotated[str | None, of("subscription_id")]
    external_subscription_id: str | None
    external_customer_id: str | None
    lago_invoice_id: Annotated[str | None, of("invoice_id")]
    reason: Annotated[str, Meta(description="A stable word, e.g. `AMOUNT_TOO_LARGE`.")]
    message: Annotated[str, Meta(description="A sentence for a person.")]
    attempts: Annotated[int, Meta(description="How often it was tried.")]
    since: Instant
    retry_at: Instant


async def find_all(request: Request[Nothing, PageQuery, Nothing]) -> Listed[SetAside]:
    """List what could not be done by itself, each with its reason and its next try.

    `since` and `retry_at` are by the machine's clock; under a test clock it is tried with the first advance after that.
    """
    return await listed(request.call, rpc.ListSetAsideRequest, request.query, partial(project, SetAside))


OPERATIONS = (operation("GET", "/set_aside", find_all, answer_root="set_aside"),)
