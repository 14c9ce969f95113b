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
# What Farebox gives a customer; nobody changes it.
_GIVEN = ("id", "created_at", "updated_at", "sequential_id")
_TEXTS = ("name", "email", "currency", "timezone", "country", "tax_identification_number")
_LISTS = ("address_lines", "tax_codes")
_ACTIVE: dict[int, bool] = {
    coupon_pb2.AppliedCoupon.STATE_ACTIVE: True,
    coupon_pb2.AppliedCoupon.STATE_TERMINATED: False,
}
_DAYS = ("invoice_grace_period_days", "net_payment_term_days")


def details_from_pb(request: customer_service_pb2.UpsertCustomerRequest, current: Customer) -> dict[str, Any]:
    """What a request says of a customer, by the names of its fields.

    With a mask all details, those that it does not name as they are; else those that are not empty.

    Args:
        request: what is asked for.
        current: what the customer is; one without details where it is new.
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
    )


def customers_wanted_from_pb(request: customer_service_pb2.ListCustomersRequest) -> CustomersWanted:
    """The filters of a list of customers."""
    return CustomersWanted(tuple(request.currencies), tuple(request.countries), tuple(request.external_ids))


def agreed_from_pb(request: customer_service_pb2.ApplyCouponRequest) -> Agreed:
    """What is agreed instead of a coupon's own terms, or a refusal that names its fields."""
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
    """The filters of a list of coupons in customers' hands; both states together are no filter."""
    if any(state not in _ACTIVE for state in request.states):
        raise InvalidArgumentError.of_field("states", "value_is_invalid", "is not one of the known values")
    states = {_ACTIVE[state] for state in request.states}
    return AppliedCouponsWanted(
        external_customer_id=request.external_customer_id,
        is_active=states.pop() if len(states) == 1 else None,
        coupon_codes=tuple(request.coupon_codes),
    )
