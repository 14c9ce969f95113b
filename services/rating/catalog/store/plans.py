"""Plan versions in SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Listed, Page
from services.kernel.errors import NotFoundError
from services.kernel.ids import OrganizationId, PlanId
from services.rating.catalog.store.plan_document import plan_from_document, plan_to_document
from services.rating.pricing.catalog import PlanVersion
from services.rating.shared.rows import lock_row, named_in, read_list
from services.rating.shared.subscription_state import SubscriptionState
from services.rating.tables.catalog import PLANS
from services.rating.tables.subscriptions import SUBSCRIPTIONS

_LIVE_PLAN = PLANS.c.is_current & PLANS.c.deleted_at.is_(None)


def insert_plan(tx: Connection, organization: OrganizationId, version: PlanVersion) -> bool:
    """Store a plan version; False if its code, or this version of it, is taken."""
    statement = insert(PLANS).values(organization_id=organization, created_at=version.created_at, **_content(version))
    return tx.execute(statement.on_conflict_do_nothing().returning(PLANS.c.id)).first() is not None


def save_plan(tx: Connection, organization: OrganizationId, version: PlanVersion) -> None:
    """Replace the content of a version that nobody subscribes to, or its marks as current or withdrawn."""
    own = (PLANS.c.organization_id == organization) & (PLANS.c.id == version.plan_id)
    tx.execute(PLANS.update().where(own).values(**_content(version)))


def _content(version: PlanVersion) -> dict[str, Any]:
    plan = version.plan
    document = {
        **plan_to_document(plan),
        "description": version.description,
        "tax_codes": list(version.tax_codes),
        "bill_usage_in_trial": version.bill_usage_in_trial,
        "net_payment_term_days": version.net_payment_term_days,
    }
    limited = {entitlement.metric_code for entitlement in plan.entitlements if entitlement.metric_code}
    return {
        "id": version.plan_id,
        "code": plan.code,
        "version": plan.version,
        "currency": plan.currency.code,
        "content": document,
        "metadata": dict(version.metadata),
        "metric_codes": sorted({charge.metric_code for charge in plan.charges} | limited),
        "is_current": version.is_current,
        "deleted_at": version.deleted_at,
    }


def current_plan(tx: Connection, organization: OrganizationId, code: str, *, lock: bool = False) -> PlanVersion:
    """The version that new subscriptions get; with `lock`, nobody else changes the plan meanwhile.

    Raises:
        NotFoundError: `PLAN_UNKNOWN`.
    """
    return _one_plan(tx, organization, code, _LIVE_PLAN, lock="update" if lock else None)


def plan_for_sale(tx: Connection, organization: OrganizationId, code: str, version: int) -> PlanVersion:
    """The version to subscribe to (0 for the current one); it cannot be changed until the transaction ends.

    Raises:
        NotFoundError: `PLAN_UNKNOWN`, also if it was withdrawn.
    """
    chosen = (PLANS.c.version == version) & PLANS.c.deleted_at.is_(None) if version else _LIVE_PLAN
    return _one_plan(tx, organization, code, chosen, lock="share")


def plan_version(tx: Connection, organization: OrganizationId, code: str, version: int) -> PlanVersion:
    """One version of a plan, withdrawn or not.

    Raises:
        NotFoundError: `PLAN_UNKNOWN`.
    """
    return _one_plan(tx, organization, code, PLANS.c.version == version)


def _one_plan(
    tx: Connection, organization: OrganizationId, code: str, chosen: sa.ColumnElement[bool], lock: str | None = None
) -> PlanVersion:
    statement = _select_plans(organization).where(PLANS.c.code == code, chosen)
    if lock is None:
        row = tx.execute(statement).first()
    else:
        row = lock_row(tx, statement, of=PLANS, is_shared=lock == "share")
    if row is None:
        raise NotFoundError("PLAN_UNKNOWN", f"no plan has the code {code!r}", code=code)
    return plan_of_row(row)


def plan_versions(
    tx: Connection, organization: OrganizationId | None, ids: Iterable[PlanId]
) -> dict[PlanId, PlanVersion]:
    """Plan versions by id, of one organization or, in a worker transaction, of all. Subscribers are not counted."""
    statement = sa.select(PLANS, sa.literal(0).label("active_subscription_count")).where(PLANS.c.id.in_(list(ids)))
    if organization is not None:
        statement = statement.where(PLANS.c.organization_id == organization)
    return {PlanId(row.id): plan_of_row(row) for row in tx.execute(statement)}


def list_plans(
    tx: Connection, organization: OrganizationId, page: Page, codes: Sequence[str] = ()
) -> Listed[PlanVersion]:
    """The current versions of the plans on sale, by code; if codes are given, only those."""
    statement = _select_plans(organization).where(_LIVE_PLAN, named_in(PLANS.c.code, codes, "codes"))
    return read_list(tx, statement, PLANS.c.code, page, plan_of_row)


def list_plan_versions(tx: Connection, organization: OrganizationId, code: str) -> list[PlanVersion]:
    """All versions of a plan, newest first; empty for an unknown code."""
    statement = _select_plans(organization).where(PLANS.c.code == code).order_by(PLANS.c.version.desc())
    return [plan_of_row(row) for row in tx.execute(statement)]


def codes_on_sale(tx: Connection, organization: OrganizationId, codes: Collection[str]) -> set[str]:
    """Which of the codes belong to a plan on sale."""
    if not codes:
        return set()
    own = (PLANS.c.organization_id == organization) & PLANS.c.code.in_(list(codes)) & _LIVE_PLAN
    return set(tx.execute(sa.select(PLANS.c.code).where(own)).scalars())


def newest_version(tx: Connection, organization: OrganizationId, code: str) -> int:
    """The highest version a plan ever had, including withdrawn ones; 0 if there was none."""
    own = (PLANS.c.organization_id == organization) & (PLANS.c.code == code)
    return int(tx.execute(sa.select(sa.func.coalesce(sa.func.max(PLANS.c.version), 0)).where(own)).scalar_one())


def withdraw_plan(tx: Connection, organization: OrganizationId, code: str, at: datetime) -> None:
    """Withdraw every version of a plan from sale."""
    own = (PLANS.c.organization_id == organization) & (PLANS.c.code == code) & PLANS.c.deleted_at.is_(None)
    tx.execute(PLANS.update().where(own).values(deleted_at=at))


def is_sold(tx: Connection, organization: OrganizationId, plan_id: PlanId) -> bool:
    """Whether anybody has, or had, a subscription to this version, or is about to get one."""
    subscribed = (SUBSCRIPTIONS.c.organization_id == organization) & (SUBSCRIPTIONS.c.plan_id == plan_id)
    promised = (
        sa.select(SUBSCRIPTIONS.c.id)
        .join(PLANS, (PLANS.c.organization_id == organization) & (PLANS.c.id == plan_id))
        .where(
            SUBSCRIPTIONS.c.organization_id == organization,
            SUBSCRIPTIONS.c.change_plan_code == PLANS.c.code,
            SUBSCRIPTIONS.c.change_plan_version == PLANS.c.version,
        )
    )
    statement = sa.select(sa.select(SUBSCRIPTIONS.c.id).where(subscribed).exists() | promised.exists())
    return bool(tx.execute(statement).scalar_one())


def _select_plans(organization: OrganizationId) -> sa.Select[Any]:
    """Plans with the number of their active subscriptions."""
    active = (
        sa.select(sa.func.count())
        .where(
            SUBSCRIPTIONS.c.organization_id == organization,
            SUBSCRIPTIONS.c.plan_id == PLANS.c.id,
            SUBSCRIPTIONS.c.state == SubscriptionState.ACTIVE,
        )
        .scalar_subquery()
    )
    statement = sa.select(PLANS, active.label("active_subscription_count"))
    return statement.where(PLANS.c.organization_id == organization)


def plan_of_row(row: Row[Any]) -> PlanVersion:
    """The plan version in a row of `plans` with `active_subscription_count`."""
    content = row.content
    return PlanVersion(
        plan_id=PlanId(row.id),
        plan=plan_from_document(row.code, row.version, row.currency, content),
        created_at=row.created_at,
        description=content["description"],
        tax_codes=tuple(content["tax_codes"]),
        bill_usage_in_trial=content["bill_usage_in_trial"],
        is_current=row.is_current,
        deleted_at=row.deleted_at,
        active_subscription_count=row.active_subscription_count,
        # Documents from before this term existed have none.
        net_payment_term_days=content.get("net_payment_term_days"),
        metadata=row.metadata,
    )
