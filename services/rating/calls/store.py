"""Kept answers in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb
from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId
from services.rating.calls.kept_answer import AnswerKey, Attempt, KeptAnswer

# How many rows are removed at a time, so that pruning never holds a long transaction.
PRUNE_BATCH = 1000

# A claim that has ended passes to whoever asks for the same.
_CLAIM = """
INSERT INTO kept_answers AS kept
    (organization_id, route, key, payload_digest, attempt_id, claimed_until, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (organization_id, route, key) DO UPDATE
    SET attempt_id = excluded.attempt_id, claimed_until = excluded.claimed_until
    WHERE kept.status IS NULL AND kept.payload_digest = excluded.payload_digest
        AND (kept.claimed_until < excluded.created_at OR kept.attempt_id = excluded.attempt_id)
RETURNING true
"""
_FIND = """
SELECT payload_digest, status, media_type, headers, content FROM kept_answers
WHERE organization_id = %s AND route = %s AND key = %s
"""
_KEEP = """
UPDATE kept_answers SET status = %s, media_type = %s, headers = %s, content = %s
WHERE organization_id = %s AND route = %s AND key = %s AND attempt_id = %s AND status IS NULL
"""
_RELEASE = """
DELETE FROM kept_answers
WHERE organization_id = %s AND route = %s AND key = %s AND attempt_id = %s AND status IS NULL
"""
_PRUNE = """
DELETE FROM kept_answers WHERE (organization_id, route, key) IN (
    SELECT organization_id, route, key FROM kept_answers WHERE created_at < %s ORDER BY created_at LIMIT %s
)
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What is stored under a key.

    Attributes:
        payload_digest: of the first request.
        answer: what was answered; None while somebody is at work.
    """

    payload_digest: bytes
    answer: KeptAnswer | None


def claim(
    tx: Connection, organization: OrganizationId, attempt: Attempt, *, now: datetime, claimed_until: datetime
) -> bool:
    """Claim a key; False if it has an answer or somebody else is at work."""
    values = (*_key(organization, attempt.key), attempt.payload_digest, attempt.attempt_id, claimed_until, now)
    return tx.exec_driver_sql(_CLAIM, values).first() is not None


def find(tx: Connection, organization: OrganizationId, key: AnswerKey) -> Found | None:
    """What is stored under a key."""
    row = tx.exec_driver_sql(_FIND, _key(organization, key)).first()
    if row is None:
        return None
    answer = None
    if row.status is not None:
        answer = KeptAnswer(row.status, row.media_type, row.headers, bytes(row.content))
    return Found(bytes(row.payload_digest), answer)


def keep(tx: Connection, organization: OrganizationId, key: AnswerKey, attempt_id: str, answer: KeptAnswer) -> None:
    """Store the answer, if the attempt still has the claim."""
    told = (answer.status, answer.media_type, Jsonb(dict(answer.headers)), answer.content)
    tx.exec_driver_sql(_KEEP, (*told, *_key(organization, key), attempt_id))


def release(tx: Connection, organization: OrganizationId, key: AnswerKey, attempt_id: str) -> None:
    """Forget the key, if the attempt still has the claim."""
    tx.exec_driver_sql(_RELEASE, (*_key(organization, key), attempt_id))


def prune(tx: Connection, before: datetime) -> int:
    """Delete keys that were claimed before an instant, at most `PRUNE_BATCH`, in a worker transaction."""
    return tx.exec_driver_sql(_PRUNE, (before, PRUNE_BATCH)).rowcount


def _key(organization: OrganizationId, key: AnswerKey) -> tuple[str, str, str]:
    return organization, key.route, key.key
