"""Coupons in customers' hands: applied, and taken away."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.errors import AlreadyExistsError, FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import OrganizationId, new_id, uuid_or_none
from services.rating.catalog.store import coupons as store
from services.rating.customers.store import customer
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import AppliedCoupon, Coupon


def apply_coupon(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    external_customer_id: str,
    coupon_code: str,
    amount: tuple[int, str] | None,
) -> AppliedCoupon:
    """Give a customer a coupon, for another fixed amount (minor units, currency) where one is given.

    Raises:
        AlreadyExistsError: `COUPON_ALREADY_APPLIED`.
        FailedPreconditionError: `COUPON_EXPIRED`, or `CURRENCY_MISMATCH`.
    """
    now = now_of(deps, tx, organization)
    who = customer(tx, organization, external_customer_id, lock=True)
    coupon = _agreed(store.coupon(tx, organization, coupon_code), amount)
    if coupon.expires_at is not None and coupon.expires_at <= now:
        raise FailedPreconditionError("COUPON_EXPIRED", "the coupon has expired", code=coupon_code)
    if coupon.currency and who.currency and coupon.currency != who.currency:
        raise FailedPreconditionError("CURRENCY_MISMATCH", "the customer is billed in another currency")
    given = AppliedCoupon(new_id(), coupon, who.customer_id, who.external_id, now)
    if not store.insert_applied(tx, organization, given):
        raise AlreadyExistsError("COUPON_ALREADY_APPLIED", "the customer has this coupon", code=coupon_code)
    return given


def terminate_applied_coupon(
    deps: Deps, tx: Connection, organization: OrganizationId, applied_coupon_id: str
) -> AppliedCoupon:
    """Take a coupon away; doing so twice changes nothing."""
    if uuid_or_none(applied_coupon_id) is None:
        raise InvalidArgumentError.of_field("applied_coupon_id", "invalid_format", "is not an id")
    return store.terminate_applied(tx, organization, applied_coupon_id, now_of(deps, tx, organization))


def _agreed(coupon: Coupon, amount: tuple[int, str] | None) -> Coupon:
    """The coupon with the amount that was agreed for one customer."""
    if amount is None:
        return coupon
    amount_cents, currency = amount
    if coupon.terms.amount_cents is None or currency != coupon.currency:
        raise InvalidArgumentError.of_field(
            "amount", "value_is_invalid", "needs a coupon of a fixed amount in the same currency"
        )
    return replace(coupon, terms=replace(coupon.terms, amount_cents=amount_cents))
