"""Moving the subscribers of one version of a plan to another version, at their next period."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.cadence import period_containing
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId
from services.rating.agreements import store
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.subscription import PendingChange, schedule_change
from services.rating.agreements.subscription_change import Migration, VersionMove
from services.rating.catalog.store.plans import plan_for_sale, plan_version
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import PlanVersion
from services.rating.subscriptions.announcing import announce_subscriptions

# The proto promises this; 10,000 moves are answered within seconds and fit into a message.
MAX_MOVES = 10_000
HAS_OTHER_CHANGE = "CHANGE_ALREADY_PENDING"
ENDS_BEFORE = "ENDS_BEFORE_NEXT_PERIOD"


def migrate_plan_version(
    deps: Deps, tx: Connection, organization: OrganizationId, code: str, from_version: int, to_version: int
) -> Migration:
    """Schedule a move of active subscriptions from one version to another (0: the current) at their next period.

    At most `MAX_MOVES` at a time; those that are promised already are not listed again.

    Raises:
        NotFoundError: `PLAN_UNKNOWN`.
        InvalidArgumentError: both versions are the same.
    """
    old = plan_version(tx, organization, code, from_version)
    new = plan_for_sale(tx, organization, code, to_version)
    if new.plan_id == old.plan_id:
        raise InvalidArgumentError.of_field("to_version", "value_is_invalid", "is the version to move from")
    now = now_of(deps, tx, organization)
    target = (code, new.plan.version)
    agreements = store.movable_agreements(tx, organization, old.plan_id, target, MAX_MOVES)
    moves = [_move(agreement, new, now) for agreement in agreements]
    promised = [
        agreement.moved(schedule_change(agreement.subscription, PendingChange(move.effective_at, *target)))
        for agreement, move in zip(agreements, moves, strict=True)
        if not move.skip_reason
    ]
    store.save_agreements(tx, promised)
    announce_subscriptions(deps, tx, promised, now)
    return Migration(new.plan.version, moves)


def _move(agreement: Agreement, new: PlanVersion, now: datetime) -> VersionMove:
    effective_at = period_containing(agreement.cadence, now).end
    reason = ""
    if agreement.subscription.pending_change is not None:
        reason = HAS_OTHER_CHANGE
    elif agreement.ending_at is not None and agreement.ending_at <= effective_at:
        reason = ENDS_BEFORE
    return VersionMove(
        external_id=agreement.subscription.external_id,
        effective_at=effective_at,
        current_amount_cents=agreement.plan_version.base_amount_cents,
        new_amount_cents=new.base_amount_cents,
        skip_reason=reason,
    )
