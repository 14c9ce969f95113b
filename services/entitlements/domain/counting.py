"""Many commands count against the same standings, one after the other: each sees what the ones before it have left.

Pure: what is to be written afterwards is collected here. Whatever is counted together is answered as if each command
had been alone, in this order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from services.entitlements.domain import access
from services.entitlements.domain import hold as hold_domain
from services.entitlements.domain.access import Access, Question, Reason
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.hold import Hold, HoldState
from services.entitlements.domain.standing import Standing, consume
from services.kernel.cadence import local_date
from services.kernel.errors import AbortedError, FailedPreconditionError, NotFoundError
from services.kernel.ids import new_id
from services.kernel.money import ZERO

# Farebox id of a subscription, and a feature.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Consume:
    """Count units at once, or refuse.

    Attributes:
        question: whose units, of what, how many.
        request_id: identity of the consumption, for the ledger.
    """

    question: Question
    request_id: str


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold units for at most `lifetime` of the organization's time, or refuse.

    Attributes:
        question: whose units, of what, how many.
        lifetime: how long the hold lives.
    """

    question: Question
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Commit:
    """Turn a hold into what was really used of it; the rest returns.

    Attributes:
        hold_id: which.
        units: how many were used.
        request_id: identity of the commit, for the ledger.
    """

    hold_id: str
    units: Decimal
    request_id: str


@dataclass(frozen=True, slots=True)
class Release:
    """Give a hold back.

    Attributes:
        hold_id: which.
    """

    hold_id: str


Asking = Consume | Reserve
Settling = Commit | Release
Command = Asking | Settling


@dataclass(frozen=True, slots=True)
class Counted:
    """The answer of a command.

    Attributes:
        access: whether it was counted, and the numbers after it; without a revision.
        place: how many alterations had been made when it was given, its own included.
        hold: what was set aside by a Reserve; None if it was refused.
        revision: of the state that the answer was made of; 0 until revisions are given.
    """

    access: Access
    place: int
    hold: Hold | None = None
    revision: int = 0

    def revised(self, revision: int) -> Counted:
        """The same with its revision."""
        return Counted(self.access, self.place, self.hold, revision)


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A line of the ledger.

    Attributes:
        key: what was consumed.
        units: how many.
        request_id: by which request.
        day: local day of the customer.
        hold_id: the hold that it was committed from; None for a Consume.
    """

    key: Key
    units: Decimal
    request_id: str
    day: date
    hold_id: str | None = None


class Books:
    """Standings while they are counted against, and what is to be written of it.

    Attributes:
        at: the organization's time.
        altered: what each alteration was of, in order.
        consumptions: new lines of the ledger.
        reserved: new holds.
        settled: holds that were committed or released.
    """

    def __init__(self, at: datetime, standings: Iterable[Standing], holds: Iterable[Hold]) -> None:
        """Open the books.

        Args:
            at: the organization's time.
            standings: what is locked; units on hold without those of `holds`.
            holds: those that commands want to settle.
        """
        self.at = at
        self.altered: list[Key] = []
        self.consumptions: list[LedgerLine] = []
        self.reserved: list[Hold] = []
        self.settled: list[Hold] = []
        self._holds = {hold.id: hold for hold in holds}
        self._standings = {standing.key: standing for standing in standings}
        # When the first of the holds ends that no command settles.
        self._held_until = {key: standing.held_until for key, standing in self._standings.items()}
        for hold in self._holds.values():
            if self._lives(hold) and hold.key in self._standings:
                self._add_hold(hold)

    def after(self) -> list[Standing]:
        """What was altered, as it is now."""
        return [self._standings[key] for key in sorted(set(self.altered))]

    def consume(self, command: Consume, standings: Sequence[Standing]) -> Counted:
        """Count units, or refuse.

        Raises:
            FailedPreconditionError: `FEATURE_NOT_METERED`, the feature is not a usage limit.
            AbortedError: `SUBSCRIPTION_MOVED`, the customer's subscription changed meanwhile.
        """
        refused, key, reason = self._decide(command.question, standings)
        if refused is not None:
            return refused
        self._consume(key, command.question.units, command.request_id)
        return self._after(key, reason)

    def reserve(self, command: Reserve, standings: Sequence[Standing]) -> Counted:
        """Hold units, or refuse; the errors are those of `consume`."""
        refused, key, reason = self._decide(command.question, standings)
        if refused is not None:
            return refused
        units = command.question.units
        hold = Hold(new_id(), *key, units, HoldState.HELD, self.at + command.lifetime)
        self._holds[hold.id] = hold
        self.reserved.append(hold)
        self._add_hold(hold)
        return replace(self._after(key, reason), hold=hold)

    def commit(self, command: Commit) -> Counted:
        """Turn a hold into what was really used of it.

        Raises:
            NotFoundError: `RESERVATION_UNKNOWN`.
            FailedPreconditionError: it was settled before, or it has expired.
            InvalidArgumentError: more units than it holds.
        """
        hold = self._require_hold(command.hold_id)
        key = self._settle(hold, hold_domain.commit(hold, command.units, at=self.at))
        if command.units:
            self._consume(key, command.units, command.request_id, hold.id)
        return self._after(key)

    def release(self, command: Release) -> Counted:
        """Give a hold back.

        Raises:
            NotFoundError: `RESERVATION_UNKNOWN`.
            FailedPreconditionError: it was settled before, or it has expired.
        """
        hold = self._require_hold(command.hold_id)
        return self._after(self._settle(hold, hold_domain.release(hold, at=self.at)))

    def _decide(self, question: Question, standings: Sequence[Standing]) -> tuple[Counted | None, Key, Reason]:
        """A refusal, or else what to count against, and why that is allowed."""
        chosen = access.choose(question, [self._present(standing) for standing in standings])
        verdict = access.verdict(question, chosen, at=self.at, revision=0)
        refused = Counted(verdict, len(self.altered))
        if isinstance(chosen, Reason) or chosen.entitlement is None or chosen.entitlement.is_removed:
            return refused, ("", ""), verdict.reason
        kind = chosen.entitlement.right.type
        if kind is not FeatureType.USAGE_LIMIT:
            raise FailedPreconditionError(
                "FEATURE_NOT_METERED",
                f"feature {question.feature_code!r} is a {kind} and counts no units",
                feature_code=question.feature_code,
            )
        if chosen.key not in self._standings:
            raise AbortedError("SUBSCRIPTION_MOVED", "the customer's subscription changed meanwhile; try again")
        return None if verdict.is_allowed else refused, chosen.key, verdict.reason

    def _present(self, standing: Standing) -> Standing:
        return standing if standing.entitlement is None else self._standings.get(standing.key, standing)

    def _require_hold(self, hold_id: str) -> Hold:
        hold = self._holds.get(hold_id)
        if hold is None:
            raise NotFoundError("RESERVATION_UNKNOWN", "no reservation has this id", reservation_id=hold_id)
        return hold

    def _settle(self, hold: Hold, settled: Hold) -> Key:
        key = hold.key
        self._holds[hold.id] = settled
        self.settled.append(settled)
        ends = [other.expires_at for other in self._holds.values() if other.key == key and self._lives(other)]
        rest = self._held_until[key]
        standing = self._standings[key]
        self._standings[key] = replace(
            standing,
            held=standing.held - hold.units,
            held_until=min(ends if rest is None else [*ends, rest], default=None),
        )
        return key

    def _consume(self, key: Key, units: Decimal, request_id: str, hold_id: str | None = None) -> None:
        standing = self._standings[key]
        day = local_date(self.at, standing.subscription.timezone)
        self.consumptions.append(LedgerLine(key, units, request_id, day, hold_id))
        self._standings[key] = consume(standing, units, self.at)

    def _add_hold(self, hold: Hold) -> None:
        standing = self._standings[hold.key]
        until = standing.held_until
        self._standings[standing.key] = replace(
            standing,
            held=standing.held + hold.units,
            held_until=hold.expires_at if until is None else min(until, hold.expires_at),
        )

    def _lives(self, hold: Hold) -> bool:
        return hold.state is HoldState.HELD and hold.expires_at > self.at

    def _after(self, key: Key, reason: Reason | None = None) -> Counted:
        """Note an alteration, and answer with the numbers after it."""
        self.altered.append(key)
        after = access.answer(key[1], self._standings[key], units=ZERO, at=self.at, revision=0)
        if not after.is_allowed or (reason is not None and after.reason is not reason):
            after = replace(after, is_allowed=True, reason=reason or after.reason)
        return Counted(after, len(self.altered))
