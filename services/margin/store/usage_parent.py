"""The usage events that cost events name as their parents: whose they are, and which of them are named.

The owner of a usage event is in the ledger, if it was booked. A row here is only for those that were not booked, and
for those that a cost event names. So the costing of usage does not write a second row for each event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from services.chassis.columns import texts, words
from services.kernel.ids import OrganizationId
from services.margin.domain.projection import UsageEvent

# A usage event of one organization.
ParentKey = tuple[str, str]


@dataclass(frozen=True)
class Owner:
    """Who an event belongs to.

    Attributes:
        external_customer_id: the organization's id of the customer; empty while unknown.
        subscription_id: UUID as text; None if unknown.
    """

    external_customer_id: str
    subscription_id: str | None


_COLUMNS = "%s::uuid[], %s::text[], %s::text[], %s::uuid[]"
_ADD = f"""
INSERT INTO usage_parents AS p (organization_id, transaction_id, external_customer_id, subscription_id,
    has_cost_events) SELECT *, false FROM unnest({_COLUMNS})
ON CONFLICT (organization_id, transaction_id) DO UPDATE SET
    external_customer_id = excluded.external_customer_id, subscription_id = excluded.subscription_id
"""
_HAS_NAMED = """
SELECT organization::text FROM unnest(%s::uuid[]) AS organization WHERE EXISTS (
    SELECT FROM usage_parents WHERE organization_id = organization AND has_cost_events)
"""
_MEET = f"""
WITH arrived AS (
    SELECT p.organization_id, p.transaction_id, e.customer, e.subscription FROM usage_parents p
    JOIN unnest({_COLUMNS}) AS e(organization, transaction_id, customer, subscription)
        ON p.organization_id = e.organization AND p.transaction_id = e.transaction_id
    WHERE p.has_cost_events ORDER BY 1, 2 FOR UPDATE OF p)
UPDATE usage_parents AS p SET external_customer_id = customer, subscription_id = subscription FROM arrived
WHERE p.organization_id = arrived.organization_id AND p.transaction_id = arrived.transaction_id
RETURNING p.organization_id::text, p.transaction_id
"""
_NAME = """
WITH named AS (
    INSERT INTO usage_parents AS p (organization_id, transaction_id, external_customer_id, has_cost_events)
    SELECT %(organization)s::uuid, transaction_id, '', true FROM unnest(%(ids)s::text[]) AS transaction_id
    ON CONFLICT (organization_id, transaction_id) DO UPDATE SET has_cost_events = true
    RETURNING p.organization_id, p.transaction_id)
INSERT INTO parents_to_settle (organization_id, transaction_id) SELECT * FROM named ON CONFLICT DO NOTHING
"""
# The ledger knows best, unless its entry was reversed and a later event of the same identity was not booked.
_OWNERS = """
SELECT DISTINCT ON (transaction_id) transaction_id, external_customer_id, subscription_id::text FROM (
    SELECT e.source_id AS transaction_id, e.external_customer_id, e.subscription_id, e.id,
        CASE WHEN EXISTS (SELECT FROM cost_entries r WHERE r.organization_id = e.organization_id
            AND r.reverses_id = e.id) THEN 3 ELSE 1 END AS place
    FROM cost_entries e WHERE e.organization_id = %(organization)s AND e.source_id = ANY(%(ids)s)
        AND e.source = 'usage_event' AND e.kind = 'original'
    UNION ALL
    SELECT transaction_id, external_customer_id, subscription_id, NULL, 2 FROM usage_parents
    WHERE organization_id = %(organization)s AND transaction_id = ANY(%(ids)s) AND external_customer_id <> ''
) AS found ORDER BY transaction_id, place, id DESC
"""
# Whoever did not see that a usage event is named began before this stamp is given, and has ended when no transaction
# from before it runs any more.
_STAMP = """
UPDATE parents_to_settle SET settle_after = pg_snapshot_xmax(pg_current_snapshot())
WHERE (organization_id, transaction_id) IN (
    SELECT organization_id, transaction_id FROM parents_to_settle WHERE settle_after IS NULL
    ORDER BY 1, 2 LIMIT %s FOR UPDATE SKIP LOCKED)
"""
_TAKE = """
DELETE FROM parents_to_settle WHERE (organization_id, transaction_id) IN (
    SELECT organization_id, transaction_id FROM parents_to_settle
    WHERE settle_after <= pg_snapshot_xmin(pg_current_snapshot()) ORDER BY 1, 2 LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING organization_id::text, transaction_id
"""
_LOCK = """
SELECT p.organization_id, p.transaction_id FROM usage_parents p
JOIN unnest(%s::uuid[], %s::text[]) AS named(organization, transaction_id)
    ON p.organization_id = named.organization AND p.transaction_id = named.transaction_id
ORDER BY 1, 2 FOR UPDATE OF p
"""


def add(tx: Connection, events: Sequence[UsageEvent]) -> None:
    """Remember the owners of usage events that were not booked. Locks their rows, in one order."""
    if events:
        tx.exec_driver_sql(_ADD, _columns(events))


def meet(tx: Connection, events: Sequence[UsageEvent]) -> set[ParentKey]:
    """Which of these usage events cost events name; remembers their owners. Locks their rows, in one order."""
    # Before anything is read: whoever waits for those who may not have seen a name must find us.
    tx.exec_driver_sql("SELECT pg_current_xact_id()")
    organizations = sorted({event.organization_id for event in events})
    naming = {row[0] for row in tx.exec_driver_sql(_HAS_NAMED, (organizations,))}
    wanted = [event for event in events if event.organization_id in naming]
    if not wanted:
        return set()
    return {(row.organization_id, row.transaction_id) for row in tx.exec_driver_sql(_MEET, _columns(wanted))}


def name(tx: Connection, organization: OrganizationId, transaction_ids: Iterable[str]) -> Mapping[str, Owner]:
    """Note that cost events name these usage events; returns the owners of those that have arrived.

    Locks their rows, in one order. They are looked at again once all that runs now has ended: `take_settled`.
    """
    ids = sorted(set(transaction_ids))
    tx.exec_driver_sql(_NAME, {"organization": organization, "ids": ids})
    return owners(tx, organization, ids)


def owners(tx: Connection, organization: str, transaction_ids: Iterable[str]) -> dict[str, Owner]:
    """The owners of usage events, of those that have arrived."""
    rows = tx.exec_driver_sql(_OWNERS, {"organization": organization, "ids": sorted(set(transaction_ids))})
    return {row.transaction_id: Owner(row.external_customer_id, row.subscription_id) for row in rows}


def take_settled(tx: Connection, limit: int) -> list[ParentKey]:
    """Named usage events that no transaction can be costing any more without knowing that they are named.

    Locks their rows, in one order; they need not be looked at again.
    """
    taken = sorted((row.organization_id, row.transaction_id) for row in tx.exec_driver_sql(_TAKE, (limit,)))
    tx.exec_driver_sql(_STAMP, (limit,))
    if taken:
        tx.exec_driver_sql(_LOCK, ([key[0] for key in taken], [key[1] for key in taken]))
    return taken


def keep_owners(tx: Connection, organization: str, found: Mapping[str, Owner]) -> None:
    """Remember the owners of usage events that cost events name."""
    if found:
        tx.exec_driver_sql(
            _ADD,
            (
                words([organization] * len(found)),
                texts(list(found)),
                texts([owner.external_customer_id for owner in found.values()]),
                words([owner.subscription_id for owner in found.values()]),
            ),
        )


def _columns(events: Sequence[UsageEvent]) -> tuple[str, ...]:
    """The identities and owners of events, each once, in one order."""
    by_key = {(event.organization_id, event.transaction_id): event for event in events}
    ordered = [by_key[key] for key in sorted(by_key)]
    return (
        words([event.organization_id for event in ordered]),
        texts([event.transaction_id for event in ordered]),
        texts([event.external_customer_id for event in ordered]),
        words([event.subscription_id for event in ordered]),
    )
