"""Applied coupons: given to customers, and taken away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.kernel.checks import inside
from services.kernel.errors import AlreadyExistsError, FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import OrganizationId, new_id, uuid_or_none
from services.rating.catalog.store import coupons as store
from services.rating.customers.store import customer
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import AppliedCoupon, Coupon
from services.rating.pricing.coupon import CouponFrequency


@dataclass(frozen=True, slots=True)
class Agreed:
    """The terms agreed for one customer instead of the coupon's own; None for each that was not changed.

    Attributes:
        amount: another fixed amount, in minor units, with its currency.
        rate_percent: another percentage.
        frequency: another frequency.
        invoices: how many invoices it reduces, if a recurring frequency is given here.
    """

    amount: tuple[int, str] | None = None
    rate_percent: Decimal | None = None
    frequency: CouponFrequency | None = None
    invoices: int | None = None


def apply_coupon(
    deps: Deps, tx: Connection, organization: OrganizationId, external_customer_id: str, code: str, agreed: Agreed
) -> AppliedCoupon:
    """Give a customer a coupon, on its own terms or on the terms agreed here.

    Raises:
        NotFoundError: `CUSTOMER_UNKNOWN`, `COUPON_UNKNOWN`.
        AlreadyExistsError: `COUPON_ALREADY_APPLIED`, the customer holds it.
        FailedPreconditionError: `COUPON_EXPIRED`, `CURRENCY_MISMATCH`, or `COUPON_NOT_REUSABLE`, the customer had it
            before.
    """
    now = now_of(deps, tx, organization)
    who = customer(tx, organization, external_customer_id, lock=True)
    # Locked, so that it is not withdrawn or changed while it is being given.
    coupon = _agreed(store.coupon(tx, organization, code, lock=True), agreed)
    if coupon.expires_at is not None and coupon.expires_at <= now:
        raise FailedPreconditionError("COUPON_EXPIRED", "the coupon has expired", code=code)
    if coupon.currency and who.currency and coupon.currency != who.currency:
        raise FailedPreconditionError("CURRENCY_MISMATCH", "the customer is billed in another currency")
    had = not coupon.is_reusable and store.has_held(tx, organization, who.customer_id, coupon.coupon_id)
    given = AppliedCoupon(
        applied_coupon_id=new_id(),
        coupon=coupon,
        customer_id=who.customer_id,
        external_customer_id=who.external_id,
        created_at=now,
        frequency_duration=coupon.terms.invoices_left,
    )
    if not store.insert_applied(tx, organization, given):
        raise AlreadyExistsError("COUPON_ALREADY_APPLIED", "the customer has this coupon", code=code)
    if had:
        raise FailedPreconditionError("COUPON_NOT_REUSABLE", "the customer had this coupon before", code=code)
    return given


def terminate_applied_coupon(
    deps: Deps, tx: Connection, organization: OrganizationId, applied_coupon_id: str, external_customer_id: str
) -> AppliedCoupon:
    """Take a coupon away; doing so twice changes nothing.

    Raises:
        NotFoundError: `APPLIED_COUPON_UNKNOWN`, also if a customer other than the named one holds it.
    """
    if uuid_or_none(applied_coupon_id) is None:
        raise InvalidArgumentError.of_field("applied_coupon_id", "invalid_format", "is not an id")
    now = now_of(deps, tx, organization)
    return store.terminate_applied(tx, organization, applied_coupon_id, external_customer_id, now)


def _agreed(coupon: Coupon, agreed: Agreed) -> Coupon:
    """The coupon on the terms agreed for one customer."""
    terms = coupon.terms
    with inside() as checks:
        if agreed.amount is not None and (terms.amount_cents is None or agreed.amount[1] != coupon.currency):
            checks.refuse("amount", "value_is_invalid", "needs a coupon of a fixed amount in the same currency")
        if agreed.rate_percent is not None and terms.rate_percent is None:
            checks.refuse("rate_percent", "value_is_invalid", "needs a coupon of a percentage")
    if agreed.amount is not None:
        terms = replace(terms, amount_cents=agreed.amount[0])
    if agreed.rate_percent is not None:
        terms = replace(terms, rate_percent=agreed.rate_percent)
    if agreed.frequency is not None:
        terms = replace(terms, frequency=agreed.frequency, invoices_left=agreed.invoices)
    return replace(coupon, terms=terms)
