"""Finalized invoices as they were first seen, by digest, so that the end can tell whether any has changed since."""

from __future__ import annotations

from services.chassis.db import Database

# Payments and voiding move an invoice on; everything else of it is frozen.
_DIGESTS = """
SELECT i.invoice_id::text AS invoice_id,
    md5((to_jsonb(i) - '{state,payment_state,paid_amount_cents,voided_at}'::text[])::text
        || coalesce(f.text, '')) AS digest
FROM invoices i LEFT JOIN LATERAL (
    SELECT string_agg(to_jsonb(f)::text, '|' ORDER BY f.position) AS text FROM fees f
    WHERE f.organization_id = i.organization_id AND f.invoice_id = i.invoice_id) f ON true
WHERE i.state <> 'draft' AND i.sequential_id > coalesce(
    (SELECT r.last FROM json_to_recordset(%s::json) AS r(organization_id uuid, last bigint)
     WHERE r.organization_id = i.organization_id), 0)
"""
_LAST = """
SELECT coalesce(json_agg(json_build_object('organization_id', organization_id, 'last', last_number)), '[]')::text
FROM counters WHERE name = 'invoice'
"""


class Snapshots:
    """Digests by invoice, of each invoice once."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._last = "[]"
        self.digests: dict[str, str] = {}

    def take(self) -> None:
        """Keep those finalized since the last time."""
        self.digests |= self._read(self._last)
        with self._db.worker_transaction() as tx:
            self._last = tx.exec_driver_sql(_LAST).scalar_one()

    def changed(self) -> list[str]:
        """Invoices that are not what they were."""
        now = self._read("[]")
        return [invoice for invoice, digest in self.digests.items() if now.get(invoice) != digest]

    def _read(self, after: str) -> dict[str, str]:
        """Digests of the invoices numbered after each organization's number in `after`."""
        with self._db.worker_transaction() as tx:
            return {row.invoice_id: row.digest for row in tx.exec_driver_sql(_DIGESTS, (after,))}
