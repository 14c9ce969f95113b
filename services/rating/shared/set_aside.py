"""Work that failed is set aside, alone, with the reason and the time of the next try.

A period whose usage cannot be priced must stop neither the other periods of its batch nor other organizations. So each
loop leaves it out, records it here, and tries it again at growing intervals. Work that finally succeeds is removed
again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.engine import Connection

from services.chassis import metrics
from services.chassis.log import logger
from services.kernel.errors import FareboxError, UnavailableError
from services.kernel.ids import OrganizationId

log = logger(__name__)

# Work that failed because of its content fails again until somebody corrects it: the first try comes after half a
# minute, later ones at least every hour.
FIRST_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(hours=1)
# 30 s doubled seven times is more than an hour.
_MAX_DOUBLINGS = 7
# Work that waits for the usage-event log is done as soon as the log is back, within the second or two that people wait.
WAIT = timedelta(seconds=2)
# How much of an unforeseen error is stored: enough to recognise it.
MAX_MESSAGE = 500
UNFORESEEN = "INTERNAL"


class Work(StrEnum):
    """The kind of work that failed; it decides what the subject is the id of."""

    CHANGE = "change"
    """A start, change, trial's end or own end of a subscription."""
    CLOSE = "close"
    """Closing the billing period of a subscription."""
    FINALIZE = "finalize"
    """Finalizing a draft whose grace has ended; the subject is the invoice."""
    ACCRUE = "accrue"
    """Announcing the accrued revenue of a subscription."""


def waiting_sql(works: Iterable[Work], organization: str, subject: str, now: str = "%s") -> str:
    """SQL that is true for a thing whose next try is still to come.

    Args:
        works: any of these kinds.
        organization: SQL for its organization's id.
        subject: SQL for its own id.
        now: SQL for the machine's time; by default a value of the statement.
    """
    words = ", ".join(f"'{work}'" for work in works)
    return (
        f"EXISTS (SELECT FROM set_aside w WHERE w.organization_id = {organization} AND w.work IN ({words}) "
        f"AND w.subject = {subject} AND w.retry_at > {now})"
    )


def set_aside(
    tx: Connection,
    organization: OrganizationId,
    work: Work,
    subject: str,
    error: Exception,
    now: datetime,
    *,
    may_wait: bool,
) -> None:
    """Leave a thing out until its next try, and log the failure.

    Args:
        tx: the transaction of the loop.
        organization: the organization whose thing it is.
        work: the kind of work that failed.
        subject: the id of the thing.
        error: the reason.
        now: the machine's time.
        may_wait: whether work that needs the usage-event log may be done later if the log is unavailable. An advance of
            a test clock may not wait: it answers that the clock has not arrived yet.

    Raises:
        UnavailableError: the log is unavailable, and the work may not wait.
    """
    waits = isinstance(error, UnavailableError)
    if waits and not may_wait:
        raise error
    reason, message = (error.reason, error.message) if isinstance(error, FareboxError) else (UNFORESEEN, repr(error))
    if waits:
        log.warning("work_waits", work=work, organization_id=organization, subject=subject, reason=reason)
    else:
        log.error("work_set_aside", work=work, organization_id=organization, subject=subject, error=repr(error))
        metrics.SET_ASIDE.labels(work).inc()
    tx.exec_driver_sql(
        "INSERT INTO set_aside AS kept (organization_id, work, subject, reason, message, attempts, since, retry_at) "
        "VALUES (%s, %s, %s, %s, %s, 1, %s, %s) "
        "ON CONFLICT (organization_id, work, subject) DO UPDATE SET reason = excluded.reason, "
        "message = excluded.message, attempts = kept.attempts + 1, "
        "retry_at = %s::timestamptz + least(%s::interval * 2 ^ least(kept.attempts, %s::int), %s::interval)",
        (
            *(organization, work, subject, reason, message[:MAX_MESSAGE], now),
            now + (WAIT if waits else FIRST_RETRY),
            *(now, WAIT if waits else FIRST_RETRY, 0 if waits else _MAX_DOUBLINGS, LONGEST_RETRY),
        ),
    )


def done(tx: Connection, organization: OrganizationId, work: Work, subjects: Iterable[str]) -> None:
    """Remove work that has been done, no matter by whom."""
    tx.exec_driver_sql(
        "DELETE FROM set_aside WHERE organization_id = %s AND work = %s AND subject = ANY(%s::uuid[])",
        (organization, work, list(subjects)),
    )


def try_again(tx: Connection, works: Iterable[Work], subjects: Iterable[str], now: datetime) -> None:
    """Try things again at once, because a change may have mended them. `now` is the machine's time."""
    tx.exec_driver_sql(
        "UPDATE set_aside SET retry_at = %s WHERE work = ANY(%s) AND subject = ANY(%s::uuid[]) AND retry_at > %s",
        (now, [str(work) for work in works], list(subjects), now),
    )
