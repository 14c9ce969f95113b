"""The numbers of organizations' newest changes in rating's log, so that others know whether they have heard of all.

Only what calls change counts: what jobs and consumers announce was nobody's call, and nobody waits for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

from sqlalchemy.engine import Connection

from services.chassis.bus import Stream
from services.chassis.db import DATABASE_ERRORS, Database
from services.chassis.log import logger
from services.chassis.numbering import BATCH, Numbering
from services.kernel.ids import OrganizationId

log = logger(__name__)

# Batches numbered for one answer. More rows than these wait for numbers only where the relay has stood still for long.
MAX_BATCHES = 4
# How many organizations may be asked about at once.
MAX_ORGANIZATIONS = 1_000

_NEWEST_SQL = """
SELECT wanted.organization_id::text AS organization,
    (SELECT max(number) FROM outbox WHERE outbox.organization_id = wanted.organization_id) AS number,
    EXISTS (
        SELECT FROM outbox WHERE outbox.organization_id = wanted.organization_id AND outbox.number IS NULL
    ) AS waits
FROM unnest(%s::uuid[]) AS wanted (organization_id)
"""


class NewestChanges:
    """Says how far the log has come for an organization; what has no number yet is given one."""

    def __init__(self, db: Database, stream: Stream) -> None:
        self._db = db
        self._numbers = Numbering(stream)
        self._turn = threading.Lock()
        self._asking: deque[_Question] = deque()

    def of(self, organizations: Collection[OrganizationId]) -> dict[OrganizationId, int]:
        """The newest change of each organization that has made any, of those that were committed before this."""
        with self._db.worker_transaction(quiet=True) as tx:
            rows = tx.exec_driver_sql(_NEWEST_SQL, (list(organizations),)).all()
            if any(row.waits for row in rows):
                if not self._number_all(tx):
                    log.warning("changes_without_numbers", batches=MAX_BATCHES)
                    return {}
                # What has no number now was committed later, and is nobody's question.
                rows = tx.exec_driver_sql(_NEWEST_SQL, (list(organizations),)).all()
        return {OrganizationId(row.organization): row.number for row in rows if row.number}

    def _number_all(self, tx: Connection) -> bool:
        """Give numbers to everything that was committed before; False if that is too much for one answer."""
        return any(self._numbers.give(tx) < BATCH for _ in range(MAX_BATCHES))

    def of_one(self, organization: OrganizationId) -> int | None:
        """The newest change of an organization; None where that cannot be said. Calls at once share a transaction."""
        question = _Question(organization)
        self._asking.append(question)
        with self._turn:
            if question.is_open:
                self._answer_all()
        return question.number

    def _answer_all(self) -> None:
        """Answer every question that was asked until now."""
        questions = [self._asking.popleft() for _ in range(len(self._asking))]
        try:
            numbers = self.of({question.organization for question in questions})
        except DATABASE_ERRORS as error:
            # The change itself is committed, and its caller must hear that whatever comes after.
            log.warning("newest_change_unknown", error=repr(error))
            numbers = {}
        for question in questions:
            question.number = numbers.get(question.organization)
            question.is_open = False


class _Question:
    """What a call waits for."""

    def __init__(self, organization: OrganizationId) -> None:
        self.organization = organization
        self.is_open = True
        self.number: int | None = None
