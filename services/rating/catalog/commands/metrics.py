"""Billable metrics: created, changed as versions, removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.errors import AlreadyExistsError, FailedPreconditionError
from services.kernel.ids import BillableMetricId, OrganizationId, new_id
from services.rating.catalog.events import BillableMetricChanged
from services.rating.catalog.store import metrics as store
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import MetricVersion


def create_metric(deps: Deps, tx: Connection, organization: OrganizationId, draft: MetricVersion) -> MetricVersion:
    """Store a new metric; its id, version and instants are set here.

    Raises:
        AlreadyExistsError: `BILLABLE_METRIC_EXISTS`.
    """
    now = now_of(deps, tx, organization)
    made = replace(draft, metric_id=BillableMetricId(new_id()), version=1, created_at=now)
    _insert(tx, organization, made)
    deps.announce(tx, BillableMetricChanged(organization, made))
    return made


def update_metric(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    code: str,
    revise: Callable[[MetricVersion], MetricVersion],
) -> MetricVersion:
    """Make the next version of a metric; an identical draft does not create a version.

    Args:
        deps: what commands need.
        tx: the transaction.
        organization: the organization whose metric it is.
        code: the metric's code.
        revise: returns the new content for the current one, which is locked meanwhile.

    Raises:
        NotFoundError: `BILLABLE_METRIC_UNKNOWN`.
        FailedPreconditionError: `BILLABLE_METRIC_COUNTED`, its aggregation is fixed once events have been counted.
    """
    current = store.metric(tx, organization, code, lock=True)
    revised = revise(current)
    kept = replace(revised, metric_id=current.metric_id, version=current.version, created_at=current.created_at)
    if kept == current:
        return current
    _require_same_counting(tx, organization, current, kept)
    changed = replace(kept, version=current.version + 1)
    store.supersede_metric(tx, organization, current)
    _insert(tx, organization, changed)
    deps.announce(tx, BillableMetricChanged(organization, changed))
    return changed


def delete_metric(deps: Deps, tx: Connection, organization: OrganizationId, code: str) -> MetricVersion:
    """Remove a metric, unless a plan on sale charges for it.

    Raises:
        FailedPreconditionError: `BILLABLE_METRIC_CHARGED`.
    """
    current = store.metric(tx, organization, code, lock=True)
    plans = store.sold_plans_with_metric(tx, organization, code)
    if plans:
        raise FailedPreconditionError(
            "BILLABLE_METRIC_CHARGED", f"plans charge for {code!r}: {', '.join(plans)}", code=code
        )
    now = now_of(deps, tx, organization)
    store.delete_metric(tx, organization, current, now)
    removed = replace(current, deleted_at=now)
    deps.announce(tx, BillableMetricChanged(organization, removed))
    return removed


def _insert(tx: Connection, organization: OrganizationId, version: MetricVersion) -> None:
    if not store.insert_metric(tx, organization, version):
        code = version.definition.code
        raise AlreadyExistsError("BILLABLE_METRIC_EXISTS", f"a billable metric has the code {code!r}", code=code)


def _require_same_counting(
    tx: Connection, organization: OrganizationId, current: MetricVersion, kept: MetricVersion
) -> None:
    before, after = current.definition, kept.definition
    fixed = (before.aggregation, before.field_name, before.recurring)
    if fixed == (after.aggregation, after.field_name, after.recurring):
        return
    if store.has_counted(tx, organization, before.code):
        raise FailedPreconditionError(
            "BILLABLE_METRIC_COUNTED", "aggregation and property are fixed once events were counted", code=before.code
        )
