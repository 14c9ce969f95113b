"""Consume, reserve, commit, release: counted under the lock of one entitlement row, so a hard limit is never overspent.

Whoever counts against a limit holds its row from before the numbers are read until the commit, so at every commit
used + consumed + held ≤ granted, whatever runs beside it. Units counted here stay in this service's ledger; they are
not announced to ingest, so a unit is reported either by Consume or as a usage event, never by both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.entitlements.commands.changes import Changes
from services.entitlements.deps import Deps
from services.entitlements.domain import access
from services.entitlements.domain import hold as holds
from services.entitlements.domain.access import Access, Question, Reason
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.hold import Hold, HoldState
from services.entitlements.domain.standing import Standing
from services.entitlements.domain.standing import consume as consumed_by
from services.entitlements.store import entitlement, ledger, standing
from services.kernel.errors import AbortedError, FailedPreconditionError, NotFoundError
from services.kernel.ids import new_id
from services.kernel.money import ZERO


@dataclass(frozen=True, slots=True)
class Reserved:
    """The answer of a reservation; `hold` is None where it was refused."""

    access: Access
    hold: Hold | None


def consume(deps: Deps, tx: Connection, owner: str, question: Question, request_id: str) -> Access:
    """Count units at once, or refuse; the numbers are those after it.

    Raises:
        FailedPreconditionError: `FEATURE_NOT_METERED`, the feature is not a usage limit.
    """
    seen, found = _locked(deps, tx, owner, question)
    verdict = access.decide(question, seen.standings[0], at=seen.at, revision=seen.revision)
    if not verdict.allowed or found is None:
        return verdict
    ledger.add(tx, owner, _key(found), question.units, request_id=request_id, at=seen.at)
    _count(tx, owner, found, question.units, seen)
    return _after(deps, tx, owner, found, verdict.reason)


def reserve(deps: Deps, tx: Connection, owner: str, question: Question, lifetime: timedelta) -> Reserved:
    """Hold units for at most `lifetime` of the organization's time, or refuse.

    Raises:
        FailedPreconditionError: `FEATURE_NOT_METERED`, the feature is not a usage limit.
    """
    seen, found = _locked(deps, tx, owner, question)
    verdict = access.decide(question, seen.standings[0], at=seen.at, revision=seen.revision)
    if not verdict.allowed or found is None:
        return Reserved(verdict, None)
    subscription_id, feature_code = _key(found)
    hold = Hold(new_id(), subscription_id, feature_code, question.units, HoldState.HELD, seen.at + lifetime)
    ledger.add_hold(tx, owner, hold, at=seen.at)
    return Reserved(_after(deps, tx, owner, found, verdict.reason), hold)


def commit(deps: Deps, tx: Connection, owner: str, hold_id: str, units: Decimal, request_id: str) -> Access:
    """Turn a hold into what was really used of it; the rest returns.

    Raises:
        NotFoundError: `RESERVATION_UNKNOWN`.
        FailedPreconditionError: it was settled before, or it has expired.
        InvalidArgumentError: more units than it holds.
    """
    hold, seen = _locked_hold(deps, tx, owner, hold_id)
    settled = holds.commit(hold, units, at=seen.at)
    ledger.settle_hold(tx, owner, settled, at=seen.at)
    found = seen.standings[0][0]
    if units:
        ledger.add(tx, owner, _key(found), units, request_id=request_id, at=seen.at, hold_id=hold.id)
        _count(tx, owner, found, units, seen)
    return _after(deps, tx, owner, found)


def release(deps: Deps, tx: Connection, owner: str, hold_id: str) -> Access:
    """Give a hold back.

    Raises:
        NotFoundError: `RESERVATION_UNKNOWN`.
        FailedPreconditionError: it was settled before, or it has expired.
    """
    hold, seen = _locked_hold(deps, tx, owner, hold_id)
    ledger.settle_hold(tx, owner, holds.release(hold, at=seen.at), at=seen.at)
    return _after(deps, tx, owner, seen.standings[0][0])


def _locked(deps: Deps, tx: Connection, owner: str, question: Question) -> tuple[standing.Seen, Standing | None]:
    """What a question sees once the row it counts against is locked; None where no row could be counted against."""
    seen = standing.of_questions(tx, owner, [question], deps.clock.now())
    chosen = access.choose(question, seen.standings[0])
    if isinstance(chosen, Reason) or chosen.entitlement is None or chosen.entitlement.removed:
        return seen, None
    if chosen.entitlement.right.type is not FeatureType.USAGE_LIMIT:
        raise FailedPreconditionError(
            "FEATURE_NOT_METERED",
            f"feature {question.feature_code!r} is a {chosen.entitlement.right.type} and counts no units",
            feature_code=question.feature_code,
        )
    entitlement.lock(tx, owner, [_key(chosen)])
    # Read again: what was seen before the lock may have been counted against meanwhile.
    seen = standing.of_questions(tx, owner, [question], deps.clock.now())
    again = access.choose(question, seen.standings[0])
    if isinstance(again, Reason):
        return seen, None
    if again.entitlement is None or _key(again) != _key(chosen):
        raise AbortedError("SUBSCRIPTION_MOVED", "the customer's subscription changed meanwhile; try again")
    return seen, again


def _locked_hold(deps: Deps, tx: Connection, owner: str, hold_id: str) -> tuple[Hold, standing.Seen]:
    hold = _require_hold(tx, owner, hold_id)
    key = hold.subscription_id, hold.feature_code
    entitlement.lock(tx, owner, [key])
    return _require_hold(tx, owner, hold_id), standing.of_keys(tx, owner, [key], deps.clock.now())


def _require_hold(tx: Connection, owner: str, hold_id: str) -> Hold:
    hold = ledger.find_hold(tx, owner, hold_id)
    if hold is None:
        raise NotFoundError("RESERVATION_UNKNOWN", "no reservation has this id", reservation_id=hold_id)
    return hold


def _count(tx: Connection, owner: str, found: Standing, units: Decimal, seen: standing.Seen) -> None:
    counted = consumed_by(found, units, seen.at).entitlement
    assert counted is not None  # noqa: S101 - only a row that exists is counted against
    entitlement.save_consumed(tx, owner, _key(found), counted.consumed)


def _after(deps: Deps, tx: Connection, owner: str, found: Standing, reason: Reason | None = None) -> Access:
    """Announce the change, and answer with the numbers after it."""
    changes = Changes()
    changes.note(owner, [_key(found)])
    changes.announce(deps, tx)
    seen = standing.of_keys(tx, owner, [_key(found)], deps.clock.now())
    code = _key(found)[1]
    after = access.answer(code, seen.standings[0][0], units=ZERO, at=seen.at, revision=seen.revision)
    return replace(after, allowed=True, reason=reason or after.reason)


def _key(found: Standing) -> entitlement.Key:
    assert found.entitlement is not None  # noqa: S101 - only a row that exists is counted against
    return found.subscription.id, found.entitlement.feature_code
