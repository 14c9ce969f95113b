"""Credits on the wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from farebox.entitlements.v1 import credit_pb2, credit_service_pb2
from services.entitlements.commands.credit import Deducted, Deduction
from services.entitlements.domain.credit_account import CreditSystem, GivenGrant
from services.entitlements.domain.feature import require_text
from services.entitlements.domain.grant import DEFAULT_PRIORITY, BurnOrder, Grant, GrantSource
from services.entitlements.domain.limits import MAX_CODE
from services.entitlements.domain.recurrence import Recurrence
from services.entitlements.queries.credit import Balance
from services.kernel.cadence import CadenceUnit, Interval
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import uuid_or_none
from services.kernel.money import ZERO
from services.wire.values import decimal_of, decimal_to_pb, instant_or_none_of, instant_to_pb, optional_int_of

_ORDERS = {
    BurnOrder.EXPIRY_FIRST: credit_pb2.BURN_ORDER_EXPIRY_FIRST,
    BurnOrder.PRIORITY_FIRST: credit_pb2.BURN_ORDER_PRIORITY_FIRST,
}
_ORDERS_FROM_PB = {
    credit_pb2.BURN_ORDER_UNSPECIFIED: BurnOrder.EXPIRY_FIRST,
    **{number: name for name, number in _ORDERS.items()},
}
_SOURCES = {
    GrantSource.SUBSCRIPTION: credit_pb2.GRANT_SOURCE_SUBSCRIPTION,
    GrantSource.TOP_UP: credit_pb2.GRANT_SOURCE_TOP_UP,
    GrantSource.MANUAL: credit_pb2.GRANT_SOURCE_MANUAL,
    GrantSource.ADJUSTMENT: credit_pb2.GRANT_SOURCE_ADJUSTMENT,
    GrantSource.ALLOCATED: credit_pb2.GRANT_SOURCE_ALLOCATED,
}
_SOURCES_FROM_PB = {
    credit_pb2.GRANT_SOURCE_UNSPECIFIED: GrantSource.MANUAL,
    **{number: name for name, number in _SOURCES.items()},
}
_UNITS = {
    CadenceUnit.DAY: credit_pb2.GrantRecurrence.UNIT_DAY,
    CadenceUnit.WEEK: credit_pb2.GrantRecurrence.UNIT_WEEK,
    CadenceUnit.MONTH: credit_pb2.GrantRecurrence.UNIT_MONTH,
}
_UNITS_FROM_PB = {number: name for name, number in _UNITS.items()}
# Credits in a request have no time of their own; the command sets it.
_NOT_STORED = datetime.fromtimestamp(0, UTC)


def system_from_pb(request: credit_service_pb2.CreateCreditSystemRequest) -> CreditSystem:
    """The kind of credits of a request; callers cannot set its id and time.

    Raises:
        InvalidArgumentError: the burn order is unknown.
    """
    system = request.credit_system
    order = _ORDERS_FROM_PB.get(system.burn_order)
    if order is None:
        raise InvalidArgumentError.of_field(
            "credit_system.burn_order", "value_is_invalid", f"is one of {', '.join(BurnOrder)}"
        )
    return CreditSystem("", system.code, system.name, system.description, system.unit_name, order, _NOT_STORED)


def system_to_pb(system: CreditSystem) -> credit_pb2.CreditSystem:
    """A stored kind of credits."""
    return credit_pb2.CreditSystem(
        id=system.id,
        code=system.code,
        name=system.name,
        description=system.description,
        unit_name=system.unit_name,
        burn_order=_ORDERS[system.order],
        created_at=instant_to_pb(system.created_at),
    )


def grant_from_pb(request: credit_service_pb2.GrantCreditsRequest) -> Callable[[datetime], GivenGrant]:
    """The grant of a request, as a function of the instant at which it is given.

    The function may raise InvalidArgumentError: a field is wrong.

    Raises:
        InvalidArgumentError: names every field that cannot be read.
    """
    message = request.grant
    with inside() as checks:
        amount = checks.read(ZERO, decimal_of, message, "amount", "grant")
        effective_at = checks.read(None, instant_or_none_of, message, "effective_at", "grant")
        expires_at = checks.read(None, instant_or_none_of, message, "expires_at", "grant")
        anchor = checks.read(None, instant_or_none_of, message.recurrence, "anchor", "grant.recurrence")
        interval = checks.read(None, _interval_of, message)
        if message.source not in _SOURCES_FROM_PB:
            checks.refuse("grant.source", "value_is_invalid", f"is one of {', '.join(GrantSource)}")
    given = optional_int_of(message, "priority")
    priority = DEFAULT_PRIORITY if given is None else given

    def made(at: datetime) -> GivenGrant:
        begins_at = max(effective_at or at, at)
        with inside("grant"):
            grant = Grant(
                id="",
                amount=amount,
                effective_at=begins_at,
                created_at=at,
                expires_at=expires_at,
                priority=priority,
                recurrence=Recurrence(interval, anchor or begins_at) if interval else None,
                source=_SOURCES_FROM_PB[message.source],
            )
        return GivenGrant(message.external_customer_id, message.credit_system_code, message.reference, grant)

    return made


def grant_to_pb(given: GivenGrant) -> credit_pb2.CreditGrant:
    """A stored grant."""
    grant, recurrence = given.grant, given.grant.recurrence
    return credit_pb2.CreditGrant(
        id=grant.id,
        external_customer_id=given.external_customer_id,
        credit_system_code=given.credit_system_code,
        amount=decimal_to_pb(grant.amount),
        source=_SOURCES[grant.source],
        reference=given.reference,
        priority=grant.priority,
        effective_at=instant_to_pb(grant.effective_at),
        expires_at=instant_to_pb(grant.expires_at),
        voided_at=instant_to_pb(grant.voided_at),
        recurrence=_recurrence_to_pb(recurrence) if recurrence else None,
        created_at=instant_to_pb(grant.created_at),
    )


def grant_id_from_pb(request: credit_service_pb2.VoidGrantRequest) -> str:
    """The id of the grant that is to be taken back.

    Raises:
        InvalidArgumentError: it is not an id.
    """
    if uuid_or_none(request.grant_id) is None:
        raise InvalidArgumentError.of_field("grant_id", "value_is_invalid", "is the id of a grant")
    return request.grant_id


def voided_to_pb(given: GivenGrant, left: Decimal) -> credit_service_pb2.VoidGrantResponse:
    """A grant that was taken back, and what was left of it."""
    return credit_service_pb2.VoidGrantResponse(grant=grant_to_pb(given), voided=decimal_to_pb(left))


def deduction_from_pb(request: credit_service_pb2.DeductCreditsRequest) -> Deduction:
    """The deduction of a request.

    Raises:
        InvalidArgumentError: the amount cannot be read, or the deduction has no identity.
    """
    require_text(request.request_id, "request_id", MAX_CODE)
    return Deduction(
        request.external_customer_id, request.credit_system_code, decimal_of(request, "amount"), request.request_id
    )


def deducted_to_pb(deducted: Deducted) -> credit_service_pb2.DeductCreditsResponse:
    """What a deduction came to."""
    return credit_service_pb2.DeductCreditsResponse(
        allowed=deducted.is_allowed,
        available=decimal_to_pb(deducted.available),
        burned=[
            credit_service_pb2.CreditBurn(grant_id=grant_id, amount=decimal_to_pb(amount))
            for grant_id, amount in deducted.burned.items()
        ],
    )


def balances_to_pb(balances: Sequence[Balance], at: datetime) -> credit_service_pb2.ListCreditBalancesResponse:
    """What is left of a customer's credits, at an instant."""
    return credit_service_pb2.ListCreditBalancesResponse(
        balances=[_balance_to_pb(balance) for balance in balances], as_of=instant_to_pb(at)
    )


def _balance_to_pb(balance: Balance) -> credit_pb2.CreditBalance:
    remaining = [(given, balance.remaining[given.grant.id]) for given in balance.given]
    return credit_pb2.CreditBalance(
        external_customer_id=balance.external_customer_id,
        credit_system=system_to_pb(balance.system),
        available=decimal_to_pb(sum((left for _, left in remaining), ZERO)),
        as_of=instant_to_pb(balance.at),
        grants=[
            credit_pb2.GrantBalance(grant=grant_to_pb(given), remaining=decimal_to_pb(left))
            for given, left in remaining
        ],
    )


def _interval_of(message: credit_pb2.CreditGrant) -> Interval | None:
    if not message.HasField("recurrence"):
        return None
    unit = _UNITS_FROM_PB.get(message.recurrence.unit)
    if unit is None:
        raise InvalidArgumentError.of_field(
            "grant.recurrence.unit", "value_is_mandatory", f"is one of {', '.join(CadenceUnit)}"
        )
    with inside("grant.recurrence", {"interval": "every"}):
        return Interval(unit, message.recurrence.every or 1)


def _recurrence_to_pb(recurrence: Recurrence) -> credit_pb2.GrantRecurrence:
    return credit_pb2.GrantRecurrence(
        unit=_UNITS[recurrence.interval.unit],
        every=recurrence.interval.every,
        anchor=instant_to_pb(recurrence.anchor),
    )
