"""Coupons and applied coupons in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Listed, Page
from services.kernel.errors import NotFoundError
from services.kernel.ids import CustomerId, OrganizationId
from services.rating.pricing.catalog import AppliedCoupon, Coupon
from services.rating.pricing.coupon import CouponCredit, CouponFrequency, CouponTerms
from services.rating.shared.rows import lock_row, named_in, read_list
from services.rating.tables.catalog import COUPONS
from services.rating.tables.subscriptions import APPLIED_COUPONS, CUSTOMERS


def insert_coupon(tx: Connection, organization: OrganizationId, coupon: Coupon) -> bool:
    """Store a new coupon; False if its code is taken."""
    statement = insert(COUPONS).values(
        organization_id=organization, id=coupon.coupon_id, created_at=coupon.created_at, **_changing(coupon)
    )
    return tx.execute(statement.on_conflict_do_nothing().returning(COUPONS.c.id)).first() is not None


def save_coupon(tx: Connection, organization: OrganizationId, coupon: Coupon) -> None:
    """Replace the content of a coupon; applied coupons have terms of their own."""
    own = (COUPONS.c.organization_id == organization) & (COUPONS.c.id == coupon.coupon_id)
    tx.execute(COUPONS.update().where(own).values(**_changing(coupon)))


def _changing(coupon: Coupon) -> dict[str, Any]:
    return {
        "code": coupon.terms.code,
        "name": coupon.name,
        "description": coupon.description,
        "is_reusable": coupon.is_reusable,
        "amount_cents": coupon.terms.amount_cents,
        "frequency_duration": coupon.terms.invoices_left,
        "deleted_at": coupon.deleted_at,
        **_terms(coupon),
    }


def _terms(coupon: Coupon) -> dict[str, Any]:
    """What a coupon and an applied coupon have in common."""
    return {
        "currency": coupon.currency,
        "rate_percent": coupon.terms.rate_percent,
        "frequency": coupon.terms.frequency,
        "plan_codes": list(coupon.terms.plan_codes),
        "metric_codes": list(coupon.terms.metric_codes),
        "expires_at": coupon.expires_at,
    }


def coupon(tx: Connection, organization: OrganizationId, code: str, *, lock: bool = False) -> Coupon:
    """The coupon with this code that is not withdrawn; with `lock`, nobody else changes it meanwhile.

    Raises:
        NotFoundError: `COUPON_UNKNOWN`.
    """
    statement = _select_coupons(organization).where(COUPONS.c.code == code)
    row = lock_row(tx, statement, of=COUPONS) if lock else tx.execute(statement).first()
    if row is None:
        raise NotFoundError("COUPON_UNKNOWN", f"no coupon has the code {code!r}", code=code)
    return _coupon(row)


def list_coupons(tx: Connection, organization: OrganizationId, page: Page, codes: Sequence[str] = ()) -> Listed[Coupon]:
    """The organization's coupons that are not withdrawn, by code; if codes are given, only those."""
    statement = _select_coupons(organization).where(named_in(COUPONS.c.code, codes, "codes"))
    return read_list(tx, statement, COUPONS.c.code, page, _coupon)


def _select_coupons(organization: OrganizationId) -> sa.Select[Any]:
    return sa.select(COUPONS).where(COUPONS.c.organization_id == organization, COUPONS.c.deleted_at.is_(None))


def insert_applied(tx: Connection, organization: OrganizationId, applied: AppliedCoupon) -> bool:
    """Give a customer a coupon; False if the customer holds it already."""
    terms = applied.coupon.terms
    statement = insert(APPLIED_COUPONS).values(
        organization_id=organization,
        id=applied.applied_coupon_id,
        coupon_id=applied.coupon.coupon_id,
        customer_id=applied.customer_id,
        amount_cents=terms.amount_cents,
        used_amount_cents=terms.used_amount_cents,
        invoices_left=terms.invoices_left,
        created_at=applied.created_at,
        terminated_at=applied.terminated_at,
        frequency_duration=applied.frequency_duration,
        **_terms(applied.coupon),
    )
    return tx.execute(statement.on_conflict_do_nothing().returning(APPLIED_COUPONS.c.id)).first() is not None


def save_applied(
    tx: Connection, organization: OrganizationId, applied_coupon_id: str, terms: CouponTerms, at: datetime
) -> None:
    """Store what is left of a coupon after an invoice used it; a coupon that is used up ends at this instant."""
    own = APPLIED_COUPONS.c.organization_id == organization, APPLIED_COUPONS.c.id == applied_coupon_id
    tx.execute(
        APPLIED_COUPONS.update()
        .where(*own)
        .values(
            used_amount_cents=terms.used_amount_cents,
            invoices_left=terms.invoices_left,
            terminated_at=sa.func.coalesce(APPLIED_COUPONS.c.terminated_at, at) if terms.is_used_up else None,
        )
    )


def give_back_applied(
    tx: Connection, organization: OrganizationId, customer: CustomerId, used: Iterable[CouponCredit]
) -> None:
    """Give applied coupons back what a voided invoice had used of them.

    A coupon that the invoice had used up reduces invoices again, unless the customer has since been given the same
    coupon again. Nobody holds a coupon twice, so nobody gets what would be given back in that case.
    """
    taken = {
        credit.applied_coupon_id: credit.amount_cents
        for credit in used
        if credit.amount_cents and credit.applied_coupon_id
    }
    statement = (
        _select_applied(organization)
        .where(APPLIED_COUPONS.c.customer_id == customer, APPLIED_COUPONS.c.id.in_(list(taken)))
        .order_by(APPLIED_COUPONS.c.id)
        .with_for_update(of=APPLIED_COUPONS, key_share=True)
    )
    for row in tx.execute(statement).all():
        terms = _applied(row).coupon.terms.give_back(taken[row.id])
        is_ended = terms.is_used_up or _is_in_hand(tx, organization, customer, row.coupon_id, besides=row.id)
        tx.execute(
            APPLIED_COUPONS.update()
            .where(APPLIED_COUPONS.c.organization_id == organization, APPLIED_COUPONS.c.id == row.id)
            .values(
                used_amount_cents=terms.used_amount_cents,
                invoices_left=terms.invoices_left,
                terminated_at=row.terminated_at if is_ended else None,
            )
        )


def _is_in_hand(
    tx: Connection, organization: OrganizationId, customer: CustomerId, coupon_id: str, *, besides: str
) -> bool:
    """Whether the customer also holds the coupon through another gift of it."""
    statement = sa.select(sa.literal(1)).where(
        APPLIED_COUPONS.c.organization_id == organization,
        APPLIED_COUPONS.c.customer_id == customer,
        APPLIED_COUPONS.c.coupon_id == coupon_id,
        APPLIED_COUPONS.c.id != besides,
        APPLIED_COUPONS.c.terminated_at.is_(None),
    )
    return tx.execute(statement.limit(1)).first() is not None


def coupons_of(
    tx: Connection, organization: OrganizationId, customers: Iterable[CustomerId], at: datetime
) -> dict[CustomerId, list[AppliedCoupon]]:
    """The coupons that customers hold and that have not expired, oldest first; locked until the transaction ends."""
    statement = (
        _select_applied(organization)
        .where(APPLIED_COUPONS.c.customer_id.in_(list(customers)), APPLIED_COUPONS.c.terminated_at.is_(None))
        .where(sa.or_(APPLIED_COUPONS.c.expires_at.is_(None), APPLIED_COUPONS.c.expires_at > at))
        .order_by(APPLIED_COUPONS.c.id)
        .with_for_update(of=APPLIED_COUPONS, key_share=True)
    )
    held: dict[CustomerId, list[AppliedCoupon]] = defaultdict(list)
    for row in tx.execute(statement):
        held[CustomerId(row.customer_id)].append(_applied(row))
    return dict(held)


def has_held(tx: Connection, organization: OrganizationId, customer: CustomerId, coupon_id: str) -> bool:
    """Whether a customer holds a coupon or ever did."""
    own = APPLIED_COUPONS.c.organization_id == organization, APPLIED_COUPONS.c.customer_id == customer
    statement = sa.select(sa.literal(1)).where(*own, APPLIED_COUPONS.c.coupon_id == coupon_id).limit(1)
    return tx.execute(statement).first() is not None


@dataclass(frozen=True, slots=True)
class AppliedCouponsWanted:
    """The filters of a list of applied coupons; every filter that is set must hold.

    Attributes:
        external_customer_id: only this customer's.
        is_active: True for those that still reduce invoices, False for those that have ended; None for both.
        coupon_codes: only those of these coupons.
    """

    external_customer_id: str = ""
    is_active: bool | None = None
    coupon_codes: tuple[str, ...] = ()


def list_applied(
    tx: Connection, organization: OrganizationId, page: Page, wanted: AppliedCouponsWanted
) -> Listed[AppliedCoupon]:
    """Applied coupons, newest first."""
    statement = _select_applied(organization).where(named_in(COUPONS.c.code, wanted.coupon_codes, "coupon_codes"))
    if wanted.external_customer_id:
        statement = statement.where(CUSTOMERS.c.external_id == wanted.external_customer_id)
    if wanted.is_active is not None:
        statement = statement.where(APPLIED_COUPONS.c.terminated_at.is_(None) == wanted.is_active)
    return read_list(tx, statement, APPLIED_COUPONS.c.id, page, _applied, newest_first=True)


def terminate_applied(
    tx: Connection, organization: OrganizationId, applied_coupon_id: str, external_customer_id: str, at: datetime
) -> AppliedCoupon:
    """Take a coupon away from this customer, or for an empty id from any; if it has ended, its time stays.

    Raises:
        NotFoundError: `APPLIED_COUPON_UNKNOWN`.
    """
    statement = _select_applied(organization).where(APPLIED_COUPONS.c.id == applied_coupon_id)
    if external_customer_id:
        statement = statement.where(CUSTOMERS.c.external_id == external_customer_id)
    row = lock_row(tx, statement, of=APPLIED_COUPONS)
    if row is None:
        raise NotFoundError("APPLIED_COUPON_UNKNOWN", "no applied coupon has this id", id=applied_coupon_id)
    held = _applied(row)
    ended = replace(held, terminated_at=held.terminated_at or at)
    own = APPLIED_COUPONS.c.organization_id == organization, APPLIED_COUPONS.c.id == applied_coupon_id
    tx.execute(APPLIED_COUPONS.update().where(*own).values(terminated_at=ended.terminated_at))
    return ended


def _select_applied(organization: OrganizationId) -> sa.Select[Any]:
    return (
        sa.select(
            APPLIED_COUPONS,
            CUSTOMERS.c.external_id.label("external_customer_id"),
            COUPONS.c.code,
            COUPONS.c.name,
            COUPONS.c.description,
            COUPONS.c.is_reusable,
            COUPONS.c.created_at.label("coupon_created_at"),
            COUPONS.c.deleted_at,
        )
        .join(
            COUPONS,
            (COUPONS.c.organization_id == APPLIED_COUPONS.c.organization_id)
            & (COUPONS.c.id == APPLIED_COUPONS.c.coupon_id),
        )
        .join(
            CUSTOMERS,
            (CUSTOMERS.c.organization_id == APPLIED_COUPONS.c.organization_id)
            & (CUSTOMERS.c.id == APPLIED_COUPONS.c.customer_id),
        )
        .where(APPLIED_COUPONS.c.organization_id == organization)
    )


def _coupon(row: Row[Any]) -> Coupon:
    return Coupon(
        coupon_id=row.id,
        name=row.name,
        terms=CouponTerms(
            code=row.code,
            frequency=CouponFrequency(row.frequency),
            amount_cents=row.amount_cents,
            rate_percent=row.rate_percent,
            invoices_left=row.frequency_duration,
            plan_codes=tuple(row.plan_codes),
            metric_codes=tuple(row.metric_codes),
        ),
        currency=row.currency,
        created_at=row.created_at,
        expires_at=row.expires_at,
        description=row.description,
        is_reusable=row.is_reusable,
        deleted_at=row.deleted_at,
    )


def _applied(row: Row[Any]) -> AppliedCoupon:
    terms = CouponTerms(
        code=row.code,
        frequency=CouponFrequency(row.frequency),
        amount_cents=row.amount_cents,
        rate_percent=row.rate_percent,
        used_amount_cents=row.used_amount_cents,
        invoices_left=row.invoices_left,
        plan_codes=tuple(row.plan_codes),
        metric_codes=tuple(row.metric_codes),
        is_used_up=row.terminated_at is not None,
    )
    agreed = Coupon(
        coupon_id=row.coupon_id,
        name=row.name,
        # What is left for this customer may be less than what a new coupon must promise.
        terms=terms,
        currency=row.currency,
        created_at=row.coupon_created_at,
        expires_at=row.expires_at,
        description=row.description,
        is_reusable=row.is_reusable,
        deleted_at=row.deleted_at,
    )
    return AppliedCoupon(
        applied_coupon_id=row.id,
        coupon=agreed,
        customer_id=CustomerId(row.customer_id),
        external_customer_id=row.external_customer_id,
        created_at=row.created_at,
        terminated_at=row.terminated_at,
        frequency_duration=row.frequency_duration,
    )
