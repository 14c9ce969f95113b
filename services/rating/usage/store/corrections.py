"""What came of events after their period was closed."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId, SubscriptionId
from services.rating.usage.frozen_usage import Correction


def of_metric(
    tx: Connection, organization: OrganizationId, subscriptions: Iterable[SubscriptionId], metric_code: str
) -> dict[str, Correction]:
    """The corrections of one metric of subscriptions, by transaction id, whatever their period."""
    rows = tx.exec_driver_sql(
        "SELECT transaction_id, max(number) FILTER (WHERE NOT is_void), max(number) FILTER (WHERE is_void) "
        "FROM usage_corrections WHERE organization_id = %s AND subscription_id = ANY(%s::uuid[]) "
        "AND metric_code = %s GROUP BY transaction_id",
        (organization, list(subscriptions), metric_code),
    )
    return {transaction_id: Correction(accepted, voided) for transaction_id, accepted, voided in rows}
