"""Customers: messages to domain and back."""

from __future__ import annotations

from typing import Any

from farebox.rating.v1 import coupon_pb2, customer_service_pb2
from farebox.rating.v1 import customer_pb2 as pb
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.rating.catalog.convert.coupons import frequency_from_pb, money_from_pb
from services.rating.catalog.store.coupons import AppliedCouponsWanted
from services.rating.customers.coupons import Agreed
from services.rating.customers.customer import Customer
from services.rating.customers.store import CustomersWanted
from services.rating.pricing.catalog import MAX_COUPON_DURATION
from services.rating.pricing.coupon import CouponFrequency
from services.wire.masks import patched
from services.wire.values import decimal_of, instant_to_pb, optional_int_of

PATH = "customer"
# The fields that Farebox sets and nobody can change.
_GIVEN = ("id", "created_at", "updated_at", "sequential_id", "deleted_at")
_TEXTS = ("name", "email", "currency", "timezone", "country", "tax_identification_number")
_LISTS = ("address_lines", "tax_codes")
_ACTIVE: dict[int, bool] = {
    coupon_pb2.AppliedCoupon.STATE_ACTIVE: True,
    coupon_pb2.AppliedCoupon.STATE_TERMINATED: False,
}
_DAYS = ("invoice_grace_period_days", "net_payment_term_days")


def details_from_pb(request: customer_service_pb2.UpsertCustomerRequest, current: Customer) -> dict[str, Any]:
    """The details of a customer in a request, by the names of their fields.

    With a mask these are all details, the ones it does not name with their current values. Without one they are those
    that are not empty.

    Args:
        request: the request.
        current: the current customer; a new one has no details.
    """
    if request.HasField("update_mask"):
        return _details(patched(customer_to_pb(current), request, PATH, key="external_id", given=_GIVEN))
    empty = _details(pb.Customer())
    return {name: detail for name, detail in _details(request.customer).items() if detail != empty[name]}


def _details(message: pb.Customer) -> dict[str, Any]:
    return {
        **{name: getattr(message, name) for name in _TEXTS},
        **{name: tuple(getattr(message, name)) for name in _LISTS},
        **{name: optional_int_of(message, name) for name in _DAYS},
        "metadata": dict(message.metadata),
    }


def customer_to_pb(customer: Customer) -> pb.Customer:
    """The customer as it is."""
    return pb.Customer(
        id=customer.customer_id,
        external_id=customer.external_id,
        name=customer.name,
        email=customer.email,
        currency=customer.currency,
        timezone=customer.timezone,
        address_lines=customer.address_lines,
        country=customer.country,
        tax_identification_number=customer.tax_identification_number,
        invoice_grace_period_days=customer.invoice_grace_period_days,
        tax_codes=customer.tax_codes,
        metadata=customer.metadata,
        created_at=instant_to_pb(customer.created_at),
        updated_at=instant_to_pb(customer.updated_at),
        sequential_id=customer.sequential_id,
        net_payment_term_days=customer.net_payment_term_days,
        deleted_at=instant_to_pb(customer.deleted_at),
    )


def customers_wanted_from_pb(request: customer_service_pb2.ListCustomersRequest) -> CustomersWanted:
    """The filters of a list of customers."""
    return CustomersWanted(tuple(request.currencies), tuple(request.countries), tuple(request.external_ids))


def agreed_from_pb(request: customer_service_pb2.ApplyCouponRequest) -> Agreed:
    """The terms agreed for one customer instead of a coupon's own, or a refusal that names their fields."""
    with inside() as checks:
        has_amount, has_rate = request.HasField("amount"), request.HasField("rate_percent")
        frequency = checks.read(None, frequency_from_pb, request.frequency) if request.frequency else None
        is_recurring = frequency is CouponFrequency.RECURRING
        if is_recurring and not 1 <= request.frequency_duration <= MAX_COUPON_DURATION:
            checks.refuse("frequency_duration", "value_is_invalid", f"is 1 to {MAX_COUPON_DURATION}")
        return Agreed(
            amount=checks.read(None, money_from_pb, request.amount, "amount") if has_amount else None,
            rate_percent=checks.read(None, decimal_of, request, "rate_percent") if has_rate else None,
            frequency=frequency,
            invoices=request.frequency_duration if is_recurring else None,
        )


def applied_coupons_wanted_from_pb(
    request: customer_service_pb2.ListAppliedCouponsRequest,
) -> AppliedCouponsWanted:
    """The filters of a list of applied coupons; asking for both states is no filter."""
    if any(state not in _ACTIVE for state in request.states):
        raise InvalidArgumentError.of_field("states", "value_is_invalid", "is not one of the known values")
    states = {_ACTIVE[state] for state in request.states}
    return AppliedCouponsWanted(
        external_customer_id=request.external_customer_id,
        is_active=states.pop() if len(states) == 1 else None,
        coupon_codes=tuple(request.coupon_codes),
    )
