"""Subscriptions in SQL, loaded with their plan version and customer as agreements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Listed, Page
from services.kernel.cadence import Alignment, Seam
from services.kernel.errors import NotFoundError
from services.kernel.ids import CustomerId, OrganizationId, PlanId, SubscriptionId
from services.rating.agreements.agreement import Agreement, EndTerms
from services.rating.agreements.resolution import Resolution
from services.rating.agreements.subscription import PendingChange, Subscription
from services.rating.catalog.store.plans import plan_versions
from services.rating.catalog.store.taxes import TaxLevels, tax_codes_of, tax_levels
from services.rating.pricing.catalog import PlanVersion
from services.rating.shared.rows import lock_row, named_in, read_list
from services.rating.shared.set_aside import Work, waiting_sql
from services.rating.shared.subscription_state import SubscriptionState
from services.rating.tables.catalog import ORGANIZATIONS, PLANS
from services.rating.tables.subscriptions import CUSTOMERS, SUBSCRIPTIONS

LIVING = (SubscriptionState.PENDING, SubscriptionState.ACTIVE)


def insert_agreement(tx: Connection, new: Agreement) -> Agreement | None:
    """Store a new subscription and load it with its taxes; None if one that has not ended has its external id."""
    statement = insert(SUBSCRIPTIONS).values(_values(new)).on_conflict_do_nothing()
    if tx.execute(statement.returning(SUBSCRIPTIONS.c.id)).first() is None:
        return None
    return agreement(tx, new.organization_id, new.subscription_id)


def save_agreements(tx: Connection, changed: Sequence[Agreement]) -> None:
    """Store subscriptions after verbs have changed them."""
    if not changed:
        return
    own = SUBSCRIPTIONS.c.organization_id == sa.bindparam("of_organization")
    statement = SUBSCRIPTIONS.update().where(own, SUBSCRIPTIONS.c.id == sa.bindparam("of_id"))
    values = [_values(agreement) for agreement in changed]
    tx.execute(
        statement.values({name: sa.bindparam(name) for name in values[0]}),
        [{**row, "of_organization": row["organization_id"], "of_id": row["id"]} for row in values],
    )


def agreement(
    tx: Connection, organization: OrganizationId, subscription_id: SubscriptionId, *, share: bool = False
) -> Agreement:
    """The subscription with this Farebox id; with `share`, nobody changes it until the transaction ends.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`.
    """
    chosen = _select().where(SUBSCRIPTIONS.c.organization_id == organization, SUBSCRIPTIONS.c.id == subscription_id)
    if share:
        chosen = chosen.with_for_update(of=SUBSCRIPTIONS, read=True)
    return _one(tx, chosen, subscription_id=subscription_id)


def agreements(
    tx: Connection, organization: OrganizationId | None, ids: Iterable[SubscriptionId]
) -> dict[SubscriptionId, Agreement]:
    """Subscriptions by id, of one organization or, in a worker transaction, of all."""
    chosen = _select().where(SUBSCRIPTIONS.c.id.in_(list(ids)))
    if organization is not None:
        chosen = chosen.where(SUBSCRIPTIONS.c.organization_id == organization)
    return {agreement.subscription_id: agreement for agreement in _load(tx, tx.execute(chosen).all())}


def lineage(tx: Connection, agreement: Agreement) -> list[Agreement]:
    """A subscription and those it continues by changes of plan, newest first."""
    found = [agreement]
    while (before := found[-1].subscription.previous_id) is not None:
        found.append(agreements(tx, agreement.organization_id, [before])[before])
    return found


def living_agreement(
    tx: Connection, organization: OrganizationId, external_id: str, *, lock: bool = False
) -> Agreement | None:
    """The subscription with this external id that has not ended, or None."""
    chosen = _select().where(
        SUBSCRIPTIONS.c.organization_id == organization,
        SUBSCRIPTIONS.c.external_id == external_id,
        SUBSCRIPTIONS.c.state.in_(LIVING),
    )
    row = lock_row(tx, chosen, of=SUBSCRIPTIONS) if lock else tx.execute(chosen).first()
    return _load(tx, [row])[0] if row is not None else None


def living_agreements_of(tx: Connection, organization: OrganizationId, customer: CustomerId) -> list[Agreement]:
    """The subscriptions of a customer that have not ended, oldest first."""
    chosen = (
        _select()
        .where(SUBSCRIPTIONS.c.organization_id == organization, SUBSCRIPTIONS.c.customer_id == customer)
        .where(SUBSCRIPTIONS.c.state.in_(LIVING))
        .order_by(SUBSCRIPTIONS.c.id)
    )
    return _load(tx, tx.execute(chosen).all())


def latest_agreement(tx: Connection, organization: OrganizationId, external_id: str) -> Agreement:
    """The subscription with this external id that has not ended, otherwise the newest.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`.
    """
    chosen = _select().where(
        SUBSCRIPTIONS.c.organization_id == organization, SUBSCRIPTIONS.c.external_id == external_id
    )
    chosen = chosen.order_by(SUBSCRIPTIONS.c.state.in_(LIVING).desc(), SUBSCRIPTIONS.c.id.desc()).limit(1)
    return _one(tx, chosen, external_id=external_id)


@dataclass(frozen=True, slots=True)
class SubscriptionsWanted:
    """The filters of a list of subscriptions; every filter that is set must hold.

    Attributes:
        states: only those in one of these states.
        external_customer_id: only this customer's.
        plan_code: only those on this plan.
        ids: only these, by Farebox id.
        currency: only those on plans in this currency.
    """

    states: tuple[SubscriptionState, ...] = (SubscriptionState.ACTIVE,)
    external_customer_id: str = ""
    plan_code: str = ""
    ids: tuple[str, ...] = ()
    currency: str = ""


def list_agreements(
    tx: Connection, organization: OrganizationId, page: Page, wanted: SubscriptionsWanted
) -> Listed[Agreement]:
    """Subscriptions, newest first."""
    chosen = _select().where(
        SUBSCRIPTIONS.c.organization_id == organization,
        SUBSCRIPTIONS.c.state.in_(wanted.states),
        named_in(SUBSCRIPTIONS.c.id, wanted.ids, "ids"),
    )
    if wanted.external_customer_id:
        chosen = chosen.where(CUSTOMERS.c.external_id == wanted.external_customer_id)
    if wanted.plan_code:
        chosen = chosen.where(PLANS.c.code == wanted.plan_code)
    if wanted.currency:
        chosen = chosen.where(PLANS.c.currency == wanted.currency)
    listed = read_list(tx, chosen, SUBSCRIPTIONS.c.id, page, lambda row: row, newest_first=True)
    return Listed(tuple(_load(tx, listed.items)), listed.next_token, listed.total)


def first_started_at(
    tx: Connection, organization: OrganizationId, customer_id: CustomerId, external_id: str
) -> datetime | None:
    """When the customer first started under this external id; None if it never did."""
    own = SUBSCRIPTIONS.c.organization_id == organization, SUBSCRIPTIONS.c.customer_id == customer_id
    started = SUBSCRIPTIONS.c.external_id == external_id, SUBSCRIPTIONS.c.state != SubscriptionState.CANCELED
    found: datetime | None = tx.execute(
        sa.select(sa.func.min(SUBSCRIPTIONS.c.first_started_at)).where(*own, *started)
    ).scalar_one()
    return found


def last_ended_at(tx: Connection, organization: OrganizationId, external_id: str) -> datetime | None:
    """When the latest subscription under this external id ended, of any customer; None if there was none."""
    own = SUBSCRIPTIONS.c.organization_id == organization, SUBSCRIPTIONS.c.external_id == external_id
    lived = SUBSCRIPTIONS.c.state == SubscriptionState.TERMINATED
    found: datetime | None = tx.execute(
        sa.select(sa.func.max(SUBSCRIPTIONS.c.ended_at)).where(*own, lived)
    ).scalar_one()
    return found


def movable_agreements(
    tx: Connection, organization: OrganizationId, plan_id: PlanId, except_code_version: tuple[str, int], limit: int
) -> list[Agreement]:
    """Active subscriptions to a plan version without a scheduled move to another one, oldest first, locked."""
    code, version = except_code_version
    promised = (SUBSCRIPTIONS.c.change_plan_code == code) & (SUBSCRIPTIONS.c.change_plan_version == version)
    chosen = (
        _select()
        .where(
            SUBSCRIPTIONS.c.organization_id == organization,
            SUBSCRIPTIONS.c.plan_id == plan_id,
            SUBSCRIPTIONS.c.state == SubscriptionState.ACTIVE,
            sa.not_(sa.func.coalesce(promised, False)),
        )
        # Those that must be skipped because of another change come last, so that they never hide the others.
        .order_by(SUBSCRIPTIONS.c.change_at.is_not(None), SUBSCRIPTIONS.c.id)
        .limit(limit)
        .with_for_update(of=SUBSCRIPTIONS, key_share=True)
    )
    return _load(tx, tx.execute(chosen).all())


def due_agreements(
    tx: Connection, organization: OrganizationId, as_of: datetime, machine_now: datetime, limit: int
) -> list[Agreement]:
    """Subscriptions for which something scheduled is due at or before an instant, in order of time, locked.

    A subscription that failed is left out until its next try (`shared/set_aside.py`).
    """
    chosen = (
        _select()
        .where(
            SUBSCRIPTIONS.c.organization_id == organization,
            SUBSCRIPTIONS.c.due_at <= as_of,
            _is_not_set_aside(machine_now),
        )
        .order_by(SUBSCRIPTIONS.c.due_at, SUBSCRIPTIONS.c.id)
        .limit(limit)
        .with_for_update(of=SUBSCRIPTIONS, key_share=True)
    )
    return _load(tx, tx.execute(chosen).all())


def next_due_at(
    tx: Connection, organization: OrganizationId, as_of: datetime, machine_now: datetime
) -> datetime | None:
    """The first instant, at or before `as_of`, at which something scheduled is due; None if nothing is due."""
    due = SUBSCRIPTIONS.c.due_at
    own = SUBSCRIPTIONS.c.organization_id == organization, due <= as_of, _is_not_set_aside(machine_now)
    found: datetime | None = tx.execute(sa.select(sa.func.min(due)).where(*own)).scalar_one()
    return found


def organizations_with_due(tx: Connection, as_of: datetime, machine_now: datetime) -> list[OrganizationId]:
    """Organizations without a test clock that have something due; needs a worker transaction."""
    statement = (
        sa.select(SUBSCRIPTIONS.c.organization_id)
        .join(ORGANIZATIONS, ORGANIZATIONS.c.organization_id == SUBSCRIPTIONS.c.organization_id)
        .where(SUBSCRIPTIONS.c.due_at <= as_of, ORGANIZATIONS.c.test_clock_now.is_(None))
        .where(_is_not_set_aside(machine_now))
        .distinct()
    )
    return [OrganizationId(organization) for organization in tx.execute(statement).scalars()]


def _is_not_set_aside(machine_now: datetime) -> sa.TextClause:
    waits = waiting_sql([Work.CHANGE], "subscriptions.organization_id", "subscriptions.id", ":machine_now")
    return sa.text(f"NOT {waits}").bindparams(machine_now=machine_now)


def _values(agreement: Agreement) -> dict[str, Any]:
    subscription = agreement.subscription
    change = subscription.pending_change
    return {
        "organization_id": agreement.organization_id,
        "id": subscription.subscription_id,
        "external_id": subscription.external_id,
        "customer_id": subscription.customer_id,
        "plan_id": agreement.plan_version.plan_id,
        "name": agreement.name,
        "state": subscription.state,
        "alignment": subscription.alignment,
        "timezone": agreement.timezone,
        "anchor": subscription.anchor,
        "starts_at": subscription.starts_at,
        "first_started_at": subscription.first_started_at,
        "ended_at": subscription.ended_at,
        "base_ends_at": subscription.base_ends_at,
        "ending_at": agreement.ending_at,
        "trial_end_due_at": agreement.trial_end_due_at,
        "change_at": change.effective_at if change else None,
        "change_plan_code": change.plan_code if change else None,
        "change_plan_version": change.plan_version if change else None,
        "end_resolution": agreement.end_terms.resolution,
        "end_skips_invoice": agreement.end_terms.skip_final_invoice,
        "due_at": agreement.due_at,
        "previous_id": subscription.previous_id,
        "previous_plan_code": subscription.previous_plan_code,
        "next_id": subscription.next_id,
        "seam_day": subscription.seam.day if subscription.seam else None,
        "seam_at": subscription.seam.at if subscription.seam else None,
        "created_at": agreement.created_at,
    }


def _select() -> sa.Select[Any]:
    return (
        sa.select(
            SUBSCRIPTIONS,
            CUSTOMERS.c.external_id.label("external_customer_id"),
            CUSTOMERS.c.tax_codes.label("customer_tax_codes"),
            sa.func.coalesce(sa.func.nullif(CUSTOMERS.c.timezone, ""), ORGANIZATIONS.c.timezone).label("home_timezone"),
        )
        .join(
            CUSTOMERS,
            (CUSTOMERS.c.organization_id == SUBSCRIPTIONS.c.organization_id)
            & (CUSTOMERS.c.id == SUBSCRIPTIONS.c.customer_id),
        )
        .join(ORGANIZATIONS, ORGANIZATIONS.c.organization_id == SUBSCRIPTIONS.c.organization_id)
        .join(
            PLANS,
            (PLANS.c.organization_id == SUBSCRIPTIONS.c.organization_id) & (PLANS.c.id == SUBSCRIPTIONS.c.plan_id),
        )
    )


def _one(tx: Connection, chosen: sa.Select[Any], **named: str) -> Agreement:
    row = tx.execute(chosen).first()
    if row is None:
        raise NotFoundError("SUBSCRIPTION_UNKNOWN", "no such subscription", **named)
    return _load(tx, [row])[0]


def _load(tx: Connection, rows: Sequence[Row[Any]]) -> list[Agreement]:
    """The agreements of rows; each plan version is read and parsed once, however many subscriptions have it."""
    if not rows:
        return []
    versions = plan_versions(tx, None, {PlanId(row.plan_id) for row in rows})
    levels = _tax_levels(tx, rows, versions)
    taxed: dict[tuple[str, ...], PlanVersion] = {}
    for row in rows:
        key = (row.plan_id, *row.customer_tax_codes)
        if key not in taxed:
            taxed[key] = levels[row.organization_id].taxed(versions[PlanId(row.plan_id)], row.customer_tax_codes)
    return [_agreement(row, taxed[row.plan_id, *row.customer_tax_codes]) for row in rows]


def _tax_levels(
    tx: Connection, rows: Sequence[Row[Any]], versions: Mapping[PlanId, PlanVersion]
) -> dict[str, TaxLevels]:
    """The taxes that the plans and customers of rows name, by organization."""
    codes: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        codes[row.organization_id].update(row.customer_tax_codes)
    for organization, plan_id in {(row.organization_id, PlanId(row.plan_id)) for row in rows}:
        codes[organization].update(tax_codes_of(versions[plan_id]))
    return {organization: tax_levels(tx, OrganizationId(organization), named) for organization, named in codes.items()}


def _agreement(row: Row[Any], version: PlanVersion) -> Agreement:
    change = None
    if row.change_at is not None:
        change = PendingChange(row.change_at, row.change_plan_code, row.change_plan_version)
    subscription = Subscription(
        subscription_id=SubscriptionId(row.id),
        external_id=row.external_id,
        customer_id=CustomerId(row.customer_id),
        plan_code=version.plan.code,
        plan_version=version.plan.version,
        alignment=Alignment(row.alignment),
        anchor=row.anchor,
        starts_at=row.starts_at,
        first_started_at=row.first_started_at,
        state=SubscriptionState(row.state),
        ended_at=row.ended_at,
        base_ends_at=row.base_ends_at,
        pending_change=change,
        previous_id=SubscriptionId(row.previous_id) if row.previous_id else None,
        previous_plan_code=row.previous_plan_code,
        next_id=SubscriptionId(row.next_id) if row.next_id else None,
        seam=Seam(row.seam_day, row.seam_at) if row.seam_at else None,
    )
    return Agreement(
        organization_id=OrganizationId(row.organization_id),
        subscription=subscription,
        plan_version=version,
        external_customer_id=row.external_customer_id,
        timezone=row.timezone,
        name=row.name,
        created_at=row.created_at,
        ending_at=row.ending_at,
        trial_end_due_at=row.trial_end_due_at,
        end_terms=EndTerms(Resolution(row.end_resolution), row.end_skips_invoice),
        next_timezone=row.home_timezone if row.home_timezone != row.timezone else None,
    )
