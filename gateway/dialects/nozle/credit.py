"""Credits: their kinds, what customers are given, what they burn, and what is left, source by source."""

from __future__ import annotations

from typing import Annotated, Literal

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.entitlements.v1 import credit_pb2
from farebox.entitlements.v1 import credit_service_pb2 as rpc
from gateway.dialects.lago.common import Description, Identified, Name
from gateway.engine.paging import PageQuery
from gateway.listing import listed
from gateway.operation import ByCustomer, Listed, Nothing, Request, operation
from gateway.projection import aware, callers_names, exact, instant_or_none, patch, project
from gateway.schema import Code, DecimalInput, DecimalText, Instant, InstantInput, Words, of
from services.kernel.money import plain

SOURCE = Words(credit_pb2.GrantSource, "GRANT_SOURCE_")
ORDER = Words(credit_pb2.BurnOrder, "BURN_ORDER_")
# What Nozle's clients call the source of credits.
_TYPES = {
    credit_pb2.GRANT_SOURCE_SUBSCRIPTION: "subscription_grant",
    credit_pb2.GRANT_SOURCE_TOP_UP: "top_up",
    credit_pb2.GRANT_SOURCE_MANUAL: "manual_grant",
    credit_pb2.GRANT_SOURCE_ADJUSTMENT: "adjustment",
    credit_pb2.GRANT_SOURCE_ALLOCATED: "allocated_top_up",
}
MAX_PRIORITY = 255

Credits = Annotated[DecimalText, Meta(description="Credits, exact, at most 12 fraction digits.")]
CreditsInput = Annotated[
    DecimalInput, Meta(description="Credits: more than 0, below 10^15, at most 12 fraction digits.")
]
_UnitName = Annotated[str, Meta(min_length=1, max_length=255, description="What one credit is called.")]
_Order = Annotated[str, ORDER.meta, Meta(description="Which grants are burned first. It cannot be changed later.")]
_Priority = Annotated[int, Meta(ge=0, le=MAX_PRIORITY, description="Lower burns first; 100 unless it is given.")]
_Begin = Annotated[InstantInput, Meta(description="Absent, or an instant in the past, means now.")]


class NewCreditSystem(Struct, kw_only=True):
    """A kind of credits that does not exist yet."""

    code: Code
    name: Name
    unit_name: _UnitName
    description: Description | UnsetType = UNSET
    burn_order: _Order | UnsetType = UNSET


class CreditSystem(Identified, kw_only=True):
    """A kind of credits."""

    code: str
    name: str
    description: str
    unit_name: str
    burn_order: Annotated[str, ORDER.told] | None
    status: Literal["active"] = "active"
    created_at: Instant | None
    updated_at: Annotated[Instant | None, of("created_at")]


class CreditSystemQuery(PageQuery, kw_only=True):
    """Which kinds of credits; all of them are active."""

    status: Literal["active"] | UnsetType = UNSET


class NewGrant(Struct, kw_only=True):
    """Credits to give."""

    credit_system: Annotated[Code, of("credit_system_code")]
    amount: CreditsInput
    source: Annotated[str, SOURCE.meta] | UnsetType = UNSET
    reference: Annotated[str, Meta(max_length=255, description="Your own, such as an invoice.")] | UnsetType = UNSET
    priority: _Priority | UnsetType = UNSET
    effective_at: _Begin | UnsetType = UNSET
    expires_at: InstantInput | UnsetType = UNSET


class Grant(Identified, kw_only=True):
    """Credits that were given."""

    customer_id: Annotated[str, of("external_customer_id")]
    credit_system: Annotated[str, of("credit_system_code")]
    amount: Credits
    source: Annotated[str, SOURCE.told] | None
    reference: str
    priority: int
    effective_at: Instant | None
    expires_at: Instant | None
    created_at: Instant | None


class Source(Struct, kw_only=True):
    """One grant of a balance; nothing is transferred between customers and entities."""

    id: str
    entity_id: None = None
    parent_source_id: None = None
    scope: Literal["customer"] = "customer"
    transferable: bool = False
    returnable: bool = False
    type: str
    reference: str
    subscription_id: None = None
    initial: Credits
    remaining: Credits
    valid_from: Instant
    expires_at: Instant | None
    priority: int
    status: Literal["active", "pending"]
    available: bool


class Balance(Struct, kw_only=True):
    """What is left of one kind of credits; the sources stand in the order in which they are burned."""

    customer_id: str
    credit_system: str
    credit_system_id: str
    credit_system_name: str
    unit_name: str
    system_status: Literal["active"] = "active"
    available: Credits
    as_of: Instant
    sources: list[Source]


class Balances(Struct, kw_only=True):
    """What is left of all credits that a customer was ever given."""

    customer_id: str
    as_of: Instant
    balances: list[Balance]


class ByCreditSystem(ByCustomer):
    """A customer, and one kind of credits."""

    code: Code


class NewDeduction(Struct, kw_only=True):
    """Credits to burn."""

    amount: CreditsInput


class Deduction(Struct, kw_only=True):
    """What was taken of one source."""

    balance_source_id: str
    amount: Credits


class Deducted(Struct, kw_only=True):
    """Whether there were enough credits, and what is left of them."""

    allowed: bool
    remaining: Credits
    deductions: list[Deduction]
    replayed: bool


async def create(request: Request[Nothing, Nothing, NewCreditSystem]) -> CreditSystem:
    """Begin a kind of credits."""
    call, asked = request.call, rpc.CreateCreditSystemRequest(request_id=request.call.mutation_id)
    patch(asked.credit_system, request.body)
    return _system((await call.ask(call.clients.credits.CreateCreditSystem, asked)).credit_system)


async def find_all(request: Request[Nothing, CreditSystemQuery, Nothing]) -> Listed[CreditSystem]:
    """List the kinds of credits."""
    page = PageQuery(page=request.query.page, per_page=request.query.per_page, page_token=request.query.page_token)
    return await listed(request.call, rpc.ListCreditSystemsRequest, page, _system)


async def give(request: Request[ByCustomer, Nothing, NewGrant]) -> Grant:
    """Give a customer credits."""
    call, asked = request.call, rpc.GrantCreditsRequest(request_id=request.call.mutation_id)
    patch(asked.grant, request.body)
    asked.grant.external_customer_id = request.path.external_customer_id
    return project(Grant, (await call.ask(call.clients.credits.GrantCredits, asked)).grant)


async def deduct(request: Request[ByCreditSystem, Nothing, NewDeduction]) -> Deducted:
    """Burn a customer's credits, all or none; a refusal is an answer, not an error.

    A repeat with the same Idempotency-Key burns once and is answered the same.
    """
    call, path = request.call, request.path
    asked, _ = patch(rpc.DeductCreditsRequest(request_id=call.mutation_id), request.body)
    asked.external_customer_id, asked.credit_system_code = path.external_customer_id, path.code
    answer = await call.ask(call.clients.credits.DeductCredits, asked)
    deductions = [
        Deduction(balance_source_id=burn.grant_id, amount=plain(exact(burn.amount))) for burn in answer.burned
    ]
    return Deducted(
        allowed=answer.allowed,
        remaining=plain(exact(answer.available)),
        deductions=deductions,
        replayed=answer.replayed,
    )


async def find_balance(request: Request[ByCreditSystem, Nothing, Nothing]) -> Balance:
    """Find what is left of a customer's credits of one kind."""
    call, path = request.call, request.path
    asked = rpc.ListCreditBalancesRequest(external_customer_id=path.external_customer_id, credit_system_code=path.code)
    return _balance((await call.ask(call.clients.credits.ListCreditBalances, asked)).balances[0])


async def find_balances(request: Request[ByCustomer, Nothing, Nothing]) -> Balances:
    """List what is left of all credits that a customer was ever given."""
    call, customer = request.call, request.path.external_customer_id
    asked = rpc.ListCreditBalancesRequest(external_customer_id=customer)
    answer = await call.ask(call.clients.credits.ListCreditBalances, asked)
    balances = [_balance(balance) for balance in answer.balances]
    return Balances(customer_id=customer, as_of=aware(answer.as_of), balances=balances)


def _system(system: credit_pb2.CreditSystem) -> CreditSystem:
    return project(CreditSystem, system, status="active")


def _balance(balance: credit_pb2.CreditBalance) -> Balance:
    system = balance.credit_system
    return Balance(
        customer_id=balance.external_customer_id,
        credit_system=system.code,
        credit_system_id=system.id,
        credit_system_name=system.name,
        unit_name=system.unit_name,
        available=plain(exact(balance.available)),
        as_of=aware(balance.as_of),
        sources=[_source(entry, balance.as_of) for entry in balance.grants],
    )


def _source(entry: credit_pb2.GrantBalance, as_of: Timestamp) -> Source:
    grant, remaining = entry.grant, exact(entry.remaining)
    begins_at = aware(grant.effective_at)
    is_pending = begins_at > aware(as_of)
    return Source(
        id=grant.id,
        type=_TYPES[grant.source],
        reference=grant.reference,
        initial=plain(exact(grant.amount)),
        remaining=plain(remaining),
        valid_from=begins_at,
        expires_at=instant_or_none(grant, "expires_at"),
        priority=grant.priority,
        status="pending" if is_pending else "active",
        available=bool(remaining),
    )


_OF_SYSTEM = {"credit_system_code": "code"}
OPERATIONS = (
    operation(
        "POST",
        "/credit-systems",
        create,
        root="credit_system",
        names=callers_names(NewCreditSystem, credit_pb2.CreditSystem),
    ),
    operation("GET", "/credit-systems", find_all, answer_root="credit_systems"),
    operation(
        "POST",
        "/customers/{external_customer_id}/credit-grants",
        give,
        root="credit_grant",
        names=callers_names(NewGrant, credit_pb2.CreditGrant, "grant."),
    ),
    operation(
        "POST",
        "/customers/{external_customer_id}/credit-systems/{code}/deductions",
        deduct,
        root="deduction",
        answer_root="",
        names=_OF_SYSTEM,
    ),
    operation("GET", "/customers/{external_customer_id}/credit-systems/{code}/balance", find_balance, names=_OF_SYSTEM),
    operation("GET", "/customers/{external_customer_id}/credit-systems", find_balances),
)
