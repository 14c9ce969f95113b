"""Nozle's API: its Core, which is Lago's, and its Engine, combined.

Both trees answer at their own bases and together at `/api/v1`; where they overlap, one operation answers for both. The
first SDK called `/v1/can` and `/v1/margin/…`, which stay as aliases.
"""

from __future__ import annotations

from gateway.dialect import Dialect
from gateway.dialects.lago import (
    add_on,
    analytics,
    applied_coupon,
    billing_entity,
    coupon,
    credit_note,
    customer,
    entitlement,
    entitlement_change,
    event,
    feature,
    fee,
    invoice,
    invoice_preview,
    metadata,
    metric,
    not_offered,
    organization,
    payment,
    plan,
    plan_charge,
    problem,
    subscription,
    tax,
    usage,
)
from gateway.dialects.nozle import (
    access,
    api_key,
    audit_log,
    checkout,
    cost,
    credit,
    margin,
    plan_version,
    set_aside,
    test_clock,
    transition,
)
from gateway.dialects.nozle.not_offered import NOT_OFFERED

BASES = ("/api/v1", "/engine/api/v1", "/core/api/v1")
# The paths that the first SDK already called, without `/api`.
LEGACY = (*access.OPERATIONS, *margin.OPERATIONS)
OFFERED = (
    *metric.OPERATIONS,
    *tax.OPERATIONS,
    *add_on.OPERATIONS,
    *feature.OPERATIONS,
    *plan.OPERATIONS,
    *metadata.OPERATIONS,
    *plan_charge.OPERATIONS,
    *plan_version.OPERATIONS,
    *coupon.OPERATIONS,
    *applied_coupon.OPERATIONS,
    *customer.OPERATIONS,
    *organization.OPERATIONS,
    *billing_entity.OPERATIONS,
    *api_key.OPERATIONS,
    *audit_log.OPERATIONS,
    *entitlement.OPERATIONS,
    *entitlement_change.OPERATIONS,
    *event.OPERATIONS,
    *checkout.OPERATIONS,
    *transition.OPERATIONS,
    *subscription.OPERATIONS,
    *usage.OPERATIONS,
    *invoice_preview.OPERATIONS,
    *invoice.OPERATIONS,
    *fee.OPERATIONS,
    *analytics.OPERATIONS,
    *payment.OPERATIONS,
    *credit_note.OPERATIONS,
    *access.OPERATIONS,
    *credit.OPERATIONS,
    *cost.OPERATIONS,
    *margin.OPERATIONS,
    *test_clock.OPERATIONS,
    *set_aside.OPERATIONS,
)

NOZLE = Dialect(
    name="nozle",
    bases=BASES,
    operations=(*OFFERED, *not_offered.NOT_OFFERED, *NOT_OFFERED),
    prefixes=(("/v1", LEGACY),),
    render_problem=problem.render,
)
