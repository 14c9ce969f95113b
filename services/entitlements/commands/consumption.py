"""Consume, reserve, commit, release: counted under the lock of one entitlement row, so a hard limit is never overspent.

A command that counts against a limit holds the limit's row from before it reads the numbers until the commit. So at
every commit used + consumed + held ≤ limit, whatever runs at the same time. Units counted here stay in this service's
ledger and are not announced to ingest, so a unit is reported either by Consume or as a usage event, never by both.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.entitlements.commands.changes import Changes
from services.entitlements.deps import Deps
from services.entitlements.domain import access
from services.entitlements.domain import hold as hold_domain
from services.entitlements.domain.access import Access, Question, Reason, Reserved
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.hold import Hold, HoldState
from services.entitlements.domain.standing import Standing
from services.entitlements.domain.standing import consume as consumed_by
from services.entitlements.store import entitlement as entitlement_store
from services.entitlements.store import ledger as ledger_store
from services.entitlements.store import standing as standing_store
from services.entitlements.store.entitlement import Key
from services.entitlements.store.standing import Seen
from services.kernel.cadence import local_date
from services.kernel.errors import AbortedError, FailedPreconditionError, NotFoundError
from services.kernel.ids import OrganizationId, new_id
from services.kernel.money import ZERO


def consume(deps: Deps, tx: Connection, organization: OrganizationId, question: Question, request_id: str) -> Access:
    """Count units at once, or refuse; the numbers of the answer are those afterwards.

    Raises:
        FailedPreconditionError: `FEATURE_NOT_METERED`, the feature is not a usage limit.
    """
    seen, standing = _locked(deps, tx, organization, question)
    verdict = access.decide(question, seen.standings[0], at=seen.at, revision=seen.revision)
    if not verdict.is_allowed or standing is None:
        return verdict
    ledger_store.add(
        tx, organization, _key(standing), question.units, request_id=request_id, at=seen.at, day=_day(standing, seen)
    )
    _count(tx, organization, standing, question.units, seen)
    return _after(deps, tx, organization, standing, verdict.reason)


def reserve(
    deps: Deps, tx: Connection, organization: OrganizationId, question: Question, lifetime: timedelta
) -> Reserved:
    """Hold units for at most `lifetime` of the organization's time, or refuse.

    Raises:
        FailedPreconditionError: `FEATURE_NOT_METERED`, the feature is not a usage limit.
    """
    seen, standing = _locked(deps, tx, organization, question)
    verdict = access.decide(question, seen.standings[0], at=seen.at, revision=seen.revision)
    if not verdict.is_allowed or standing is None:
        return Reserved(verdict, None)
    subscription_id, feature_code = _key(standing)
    hold = Hold(new_id(), subscription_id, feature_code, question.units, HoldState.HELD, seen.at + lifetime)
    ledger_store.add_hold(tx, organization, hold, at=seen.at)
    return Reserved(_after(deps, tx, organization, standing, verdict.reason), hold)


def commit(
    deps: Deps, tx: Connection, organization: OrganizationId, hold_id: str, units: Decimal, request_id: str
) -> Access:
    """Turn a hold into what was really used of it; the rest becomes free again.

    Raises:
        NotFoundError: `RESERVATION_UNKNOWN`.
        FailedPreconditionError: it was settled before, or it has expired.
        InvalidArgumentError: more units than it holds.
    """
    hold, seen = _locked_hold(deps, tx, organization, hold_id)
    settled = hold_domain.commit(hold, units, at=seen.at)
    ledger_store.settle_hold(tx, organization, settled, at=seen.at)
    standing = seen.standings[0][0]
    if units:
        ledger_store.add(
            tx,
            organization,
            _key(standing),
            units,
            request_id=request_id,
            at=seen.at,
            day=_day(standing, seen),
            hold_id=hold.id,
        )
        _count(tx, organization, standing, units, seen)
    return _after(deps, tx, organization, standing)


def release(deps: Deps, tx: Connection, organization: OrganizationId, hold_id: str) -> Access:
    """Give a hold back.

    Raises:
        NotFoundError: `RESERVATION_UNKNOWN`.
        FailedPreconditionError: it was settled before, or it has expired.
    """
    hold, seen = _locked_hold(deps, tx, organization, hold_id)
    ledger_store.settle_hold(tx, organization, hold_domain.release(hold, at=seen.at), at=seen.at)
    return _after(deps, tx, organization, seen.standings[0][0])


def _locked(
    deps: Deps, tx: Connection, organization: OrganizationId, question: Question
) -> tuple[Seen, Standing | None]:
    """What a question sees once the row it counts against is locked; None if there is no row to count against."""
    seen = standing_store.of_questions(tx, organization, [question], deps.clock.now())
    chosen = access.choose(question, seen.standings[0])
    if isinstance(chosen, Reason) or chosen.entitlement is None or chosen.entitlement.is_removed:
        return seen, None
    if chosen.entitlement.right.type is not FeatureType.USAGE_LIMIT:
        raise FailedPreconditionError(
            "FEATURE_NOT_METERED",
            f"feature {question.feature_code!r} is a {chosen.entitlement.right.type} and counts no units",
            feature_code=question.feature_code,
        )
    entitlement_store.lock(tx, organization, [_key(chosen)])
    # Read again: others may have counted against what was seen before the lock.
    seen = standing_store.of_questions(tx, organization, [question], deps.clock.now())
    again = access.choose(question, seen.standings[0])
    if isinstance(again, Reason):
        return seen, None
    if again.entitlement is None or _key(again) != _key(chosen):
        raise AbortedError("SUBSCRIPTION_MOVED", "the customer's subscription changed meanwhile; try again")
    return seen, again


def _locked_hold(deps: Deps, tx: Connection, organization: OrganizationId, hold_id: str) -> tuple[Hold, Seen]:
    hold = _require_hold(tx, organization, hold_id)
    key = hold.subscription_id, hold.feature_code
    entitlement_store.lock(tx, organization, [key])
    return _require_hold(tx, organization, hold_id), standing_store.of_keys(tx, organization, [key], deps.clock.now())


def _require_hold(tx: Connection, organization: OrganizationId, hold_id: str) -> Hold:
    hold = ledger_store.find_hold(tx, organization, hold_id)
    if hold is None:
        raise NotFoundError("RESERVATION_UNKNOWN", "no reservation has this id", reservation_id=hold_id)
    return hold


def _count(tx: Connection, organization: OrganizationId, standing: Standing, units: Decimal, seen: Seen) -> None:
    counted = consumed_by(standing, units, seen.at).entitlement
    assert counted is not None  # noqa: S101 - only a row that exists is counted against
    entitlement_store.save_consumed(tx, organization, _key(standing), counted.consumed)


def _after(
    deps: Deps, tx: Connection, organization: OrganizationId, standing: Standing, reason: Reason | None = None
) -> Access:
    """Announce the change, and answer with the numbers afterwards."""
    changes = Changes()
    changes.note(organization, [_key(standing)])
    changes.announce(deps, tx)
    seen = standing_store.of_keys(tx, organization, [_key(standing)], deps.clock.now())
    code = _key(standing)[1]
    after = access.answer(code, seen.standings[0][0], units=ZERO, at=seen.at, revision=seen.revision)
    return replace(after, is_allowed=True, reason=reason or after.reason)


def _day(standing: Standing, seen: Seen) -> date:
    return local_date(seen.at, standing.subscription.timezone)


def _key(standing: Standing) -> Key:
    assert standing.entitlement is not None  # noqa: S101 - only a row that exists is counted against
    return standing.subscription.id, standing.entitlement.feature_code
