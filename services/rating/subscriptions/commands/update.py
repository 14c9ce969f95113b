"""Changing what a subscription is called, and when it ends by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId
from services.rating.agreements import store
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.queries import Dated
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.subscriptions.announcing import announce_subscription
from services.rating.subscriptions.commands.change_plan import living


def update_subscription(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    external_id: str,
    revise: Callable[[Agreement, datetime], Agreement],
) -> Dated:
    """Change a subscription that has not ended: `revise` turns it into the new one, and it is locked meanwhile.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`.
        InvalidArgumentError: names what is wrong.
    """
    current = living(tx, organization, external_id, "")
    now = now_of(deps, tx, organization)
    changed = revise(current, now)
    if changed != current:
        store.save_agreements(tx, [changed])
        announce_subscription(deps, tx, changed, now)
    return Dated(changed, changed.period_at(now))
