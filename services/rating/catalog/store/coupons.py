"""Coupons, and those in customers' hands, in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Listed, Page
from services.kernel.errors import NotFoundError
from services.kernel.ids import CustomerId, OrganizationId
from services.rating.pricing.catalog import AppliedCoupon, Coupon
from services.rating.pricing.coupon import CouponFrequency, CouponTerms
from services.rating.shared.rows import read_list
from services.rating.tables.catalog import COUPONS
from services.rating.tables.subscriptions import APPLIED_COUPONS, CUSTOMERS


def insert_coupon(tx: Connection, organization: OrganizationId, coupon: Coupon) -> bool:
    """Keep a new coupon; False when its code is taken."""
    terms = coupon.terms
    statement = insert(COUPONS).values(
        organization_id=organization,
        id=coupon.coupon_id,
        code=terms.code,
        name=coupon.name,
        amount_cents=terms.amount_cents,
        currency=coupon.currency,
        rate_percent=terms.rate_percent,
        frequency=terms.frequency,
        frequency_duration=terms.invoices_left,
        plan_codes=list(terms.plan_codes),
        metric_codes=list(terms.metric_codes),
        expires_at=coupon.expires_at,
        created_at=coupon.created_at,
    )
    return tx.execute(statement.on_conflict_do_nothing().returning(COUPONS.c.id)).first() is not None


def coupon(tx: Connection, organization: OrganizationId, code: str) -> Coupon:
    """The coupon with this code.

    Raises:
        NotFoundError: `COUPON_UNKNOWN`.
    """
    own = (COUPONS.c.organization_id == organization) & (COUPONS.c.code == code)
    row = tx.execute(sa.select(COUPONS).where(own)).first()
    if row is None:
        raise NotFoundError("COUPON_UNKNOWN", f"no coupon has the code {code!r}", code=code)
    return _coupon(row)


def list_coupons(tx: Connection, organization: OrganizationId, page: Page) -> Listed[Coupon]:
    """The organization's coupons, by code."""
    statement = sa.select(COUPONS).where(COUPONS.c.organization_id == organization)
    return read_list(tx, statement, COUPONS.c.code, page, _coupon)


def insert_applied(tx: Connection, organization: OrganizationId, applied: AppliedCoupon) -> bool:
    """Give a customer a coupon; False when it is in the same hand already."""
    terms = applied.coupon.terms
    statement = insert(APPLIED_COUPONS).values(
        organization_id=organization,
        id=applied.applied_coupon_id,
        coupon_id=applied.coupon.coupon_id,
        customer_id=applied.customer_id,
        amount_cents=terms.amount_cents,
        used_cents=terms.used_cents,
        invoices_left=terms.invoices_left,
        created_at=applied.created_at,
        terminated_at=applied.terminated_at,
    )
    return tx.execute(statement.on_conflict_do_nothing().returning(APPLIED_COUPONS.c.id)).first() is not None


def save_applied(
    tx: Connection, organization: OrganizationId, applied_coupon_id: str, terms: CouponTerms, at: datetime
) -> None:
    """Keep what is left of a coupon after an invoice used it; used up, it ends at this instant."""
    own = APPLIED_COUPONS.c.organization_id == organization, APPLIED_COUPONS.c.id == applied_coupon_id
    tx.execute(
        APPLIED_COUPONS.update()
        .where(*own)
        .values(
            used_cents=terms.used_cents,
            invoices_left=terms.invoices_left,
            terminated_at=sa.func.coalesce(APPLIED_COUPONS.c.terminated_at, at) if terms.is_used_up else None,
        )
    )


def coupons_of(
    tx: Connection, organization: OrganizationId, customers: Iterable[CustomerId], at: datetime
) -> dict[CustomerId, list[AppliedCoupon]]:
    """What customers hold and is not expired, oldest first; locked until the transaction ends, to be used once."""
    statement = (
        _select_applied(organization)
        .where(APPLIED_COUPONS.c.customer_id.in_(list(customers)), APPLIED_COUPONS.c.terminated_at.is_(None))
        .where(sa.or_(COUPONS.c.expires_at.is_(None), COUPONS.c.expires_at > at))
        .order_by(APPLIED_COUPONS.c.id)
        .with_for_update(of=APPLIED_COUPONS, key_share=True)
    )
    held: dict[CustomerId, list[AppliedCoupon]] = defaultdict(list)
    for row in tx.execute(statement):
        held[CustomerId(row.customer_id)].append(_applied(row))
    return dict(held)


def list_applied(
    tx: Connection, organization: OrganizationId, page: Page, external_customer_id: str = ""
) -> Listed[AppliedCoupon]:
    """Coupons in customers' hands, ended ones included, newest first; one customer's where named."""
    statement = _select_applied(organization)
    if external_customer_id:
        statement = statement.where(CUSTOMERS.c.external_id == external_customer_id)
    return read_list(tx, statement, APPLIED_COUPONS.c.id, page, _applied, newest_first=True)


def terminate_applied(
    tx: Connection, organization: OrganizationId, applied_coupon_id: str, at: datetime
) -> AppliedCoupon:
    """Take a coupon away; one that has ended keeps its instant.

    Raises:
        NotFoundError: `APPLIED_COUPON_UNKNOWN`.
    """
    own = APPLIED_COUPONS.c.organization_id == organization, APPLIED_COUPONS.c.id == applied_coupon_id
    ended = sa.func.coalesce(APPLIED_COUPONS.c.terminated_at, at)
    tx.execute(APPLIED_COUPONS.update().where(*own).values(terminated_at=ended))
    row = tx.execute(_select_applied(organization).where(APPLIED_COUPONS.c.id == applied_coupon_id)).first()
    if row is None:
        raise NotFoundError("APPLIED_COUPON_UNKNOWN", "no applied coupon has this id", id=applied_coupon_id)
    return _applied(row)


def _select_applied(organization: OrganizationId) -> sa.Select[Any]:
    return (
        sa.select(
            APPLIED_COUPONS,
            CUSTOMERS.c.external_id.label("external_customer_id"),
            *(COUPONS.c[name].label(f"its_{name}") for name in COUPONS.c.keys()),  # noqa: SIM118
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
    )


def _applied(row: Row[Any]) -> AppliedCoupon:
    terms = CouponTerms(
        code=row.its_code,
        frequency=CouponFrequency(row.its_frequency),
        amount_cents=row.amount_cents,
        rate_percent=row.its_rate_percent,
        used_cents=row.used_cents,
        invoices_left=row.invoices_left,
        plan_codes=tuple(row.its_plan_codes),
        metric_codes=tuple(row.its_metric_codes),
        is_used_up=row.terminated_at is not None,
    )
    coupon_ = Coupon(
        coupon_id=row.coupon_id,
        name=row.its_name,
        # What is left for this customer may be less than a new coupon may promise.
        terms=terms,
        currency=row.its_currency,
        created_at=row.its_created_at,
        expires_at=row.its_expires_at,
    )
    return AppliedCoupon(
        applied_coupon_id=row.id,
        coupon=coupon_,
        customer_id=CustomerId(row.customer_id),
        external_customer_id=row.external_customer_id,
        created_at=row.created_at,
        terminated_at=row.terminated_at,
    )
