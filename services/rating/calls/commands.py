"""Claims of idempotency keys; every duration is one of the machine's, since a network does not wait for test clocks."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from services.kernel.errors import AlreadyExistsError
from services.kernel.ids import OrganizationId
from services.rating.calls import store
from services.rating.calls.kept_answer import CLAIM, KEEP, AnswerKey, Attempt, KeptAnswer, KeyState
from services.rating.deps import Deps


def claim_key(deps: Deps, organization: OrganizationId, attempt: Attempt) -> KeyState | KeptAnswer:
    """Claim a key for an attempt, or say what has become of it.

    Raises:
        AlreadyExistsError: `REQUEST_ID_REUSED`, the key came before with another payload.
    """
    now = deps.clock.now()
    with deps.db.transaction(organization) as tx:
        if store.claim(tx, organization, attempt, now=now, claimed_until=now + CLAIM):
            return KeyState.CLAIMED
        found = store.find(tx, organization, attempt.key)
    if found is None:
        # It was released in between; whoever asks again gets it.
        return KeyState.IN_PROGRESS
    if found.payload_digest != attempt.payload_digest:
        raise AlreadyExistsError("REQUEST_ID_REUSED", "this key came before with another payload")
    return found.answer or KeyState.IN_PROGRESS


def keep_answer(deps: Deps, organization: OrganizationId, key: AnswerKey, attempt_id: str, answer: KeptAnswer) -> None:
    """Keep the answer of the attempt that has the claim."""
    with deps.db.transaction(organization) as tx:
        store.keep(tx, organization, key, attempt_id, answer)


def release_key(deps: Deps, organization: OrganizationId, key: AnswerKey, attempt_id: str) -> None:
    """Give a key back that the attempt has claimed."""
    with deps.db.transaction(organization) as tx:
        store.release(tx, organization, key, attempt_id)


def forget_old_answers(deps: Deps, tx: Connection) -> int:
    """Delete what was kept for `KEEP`; returns how many."""
    return store.prune(tx, deps.clock.now() - KEEP)
