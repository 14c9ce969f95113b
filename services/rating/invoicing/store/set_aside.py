"""Work that is set aside (`shared/set_aside.py`), read with the names by which people know it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from services.chassis.page import Listed, Page
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId, uuid_or_none
from services.rating.shared.set_aside import Work

_BEFORE_ALL = "00000000-0000-0000-0000-000000000000"
_KEYS = ("subject", "work")


@dataclass(frozen=True, slots=True)
class SetAside:
    """One piece of work that failed.

    Attributes:
        work: the kind of work.
        subscription_id, external_subscription_id: the subscription; empty for an invoice without one.
        external_customer_id: the billed customer.
        invoice_id: the draft to finalize; empty for other work.
        reason: a stable machine word; `INTERNAL` if the error was unforeseen.
        message: a sentence for a person.
        attempts: how often it was tried.
        since: when it was first set aside, by the machine's clock.
        retry_at: when it is tried again, by the machine's clock; under a test clock with the first advance after it.
    """

    work: Work
    subscription_id: str
    external_subscription_id: str
    external_customer_id: str
    invoice_id: str
    reason: str
    message: str
    attempts: int
    since: datetime
    retry_at: datetime


_LIST = """
SELECT w.subject::text AS subject, w.work, coalesce(s.id::text, '') AS subscription_id,
    coalesce(s.external_id, '') AS external_subscription_id,
    coalesce(c.external_id, i.customer->>'external_id', '') AS external_customer_id,
    coalesce(i.invoice_id::text, '') AS invoice_id, w.reason, w.message, w.attempts, w.since, w.retry_at
FROM set_aside w
LEFT JOIN invoices i ON i.organization_id = w.organization_id AND i.invoice_id = w.subject AND w.work = 'finalize'
LEFT JOIN subscriptions s ON s.organization_id = w.organization_id
    AND s.id = coalesce((i.terms->>'subscription_id')::uuid, w.subject)
LEFT JOIN customers c ON c.organization_id = s.organization_id AND c.id = s.customer_id
WHERE w.organization_id = %s AND (w.subject, w.work) > (%s::uuid, %s)
ORDER BY w.subject, w.work OFFSET %s LIMIT %s
"""


def list_set_aside(tx: Connection, organization: OrganizationId, page: Page) -> Listed[SetAside]:
    """The work of an organization that is set aside."""
    subject, work = page.after if len(page.after) == len(_KEYS) else (_BEFORE_ALL, "")
    if page.after and uuid_or_none(subject) is None:
        raise InvalidArgumentError.of_field("page.page_token", "value_is_invalid", "is not a token of this list")
    rows = tx.exec_driver_sql(_LIST, (organization, subject, work, page.skip, page.size + 1)).all()
    return Listed.of(rows, page, lambda row: (row.subject, row.work)).map(
        lambda row: SetAside(Work(row.work), *row[2:])
    )
