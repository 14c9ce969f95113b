"""What is left of credits: a pure function of the grants, of what was used, and of time.

Time is cut where a grant begins, ends or is refilled, and at each reset. Between two cuts what was used is burned from
the active grants in their order; what they do not cover is overage, which the next grant or refill of the same usage
period pays back. A cut belongs to what follows it. A snapshot may stand for everything before it: going on from it
comes to the same figures, so it is never more than a shortcut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from services.entitlements.domain.grant import BurnOrder, Grant, in_burn_order
from services.kernel.errors import InvalidArgumentError
from services.kernel.money import ZERO
from services.kernel.period import Period


@dataclass(frozen=True, slots=True)
class Use:
    """Credits that were used.

    Attributes:
        at: when.
        units: how many; not below 0.
    """

    at: datetime
    units: Decimal


@dataclass(frozen=True, slots=True)
class Reset:
    """The end of a usage period: what is left rolls over within each grant's bounds, and usage counts from 0.

    Attributes:
        at: the first instant of the new period.
        with_overage: whether overage goes on, and is burned at once from what rolled over; otherwise it is forgiven.
    """

    at: datetime
    with_overage: bool = False


@dataclass(frozen=True, slots=True)
class Movements:
    """What became of the credits of one grant: opening + granted - burned - expired - voided - lapsed is its balance.

    Attributes:
        opening: what the snapshot said was left of it.
        granted: what it gave: its amount, each refill, and what a reset raised it by.
        burned: what was used of it.
        expired: what was left when it expired.
        voided: what was left when it was taken back.
        lapsed: what was left when it was refilled, and what a reset cut off.
    """

    opening: Decimal = ZERO
    granted: Decimal = ZERO
    burned: Decimal = ZERO
    expired: Decimal = ZERO
    voided: Decimal = ZERO
    lapsed: Decimal = ZERO

    @property
    def balance(self) -> Decimal:
        """What is left."""
        return self.opening + self.granted - self.burned - self.expired - self.voided - self.lapsed


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The figures of an instant. Everything that happens at that very instant by itself has happened; no use has.

    Attributes:
        at: the instant.
        balances: what is left of each grant, by its id; an active grant without an entry is whole.
        overage: credits that were used in this usage period and that no grant has paid.
        used: credits used in this usage period.
        burned: credits burned in this usage period, for the overage before it as well.
    """

    at: datetime
    balances: Mapping[str, Decimal] = field(default_factory=dict)
    overage: Decimal = ZERO
    used: Decimal = ZERO
    burned: Decimal = ZERO

    @property
    def balance(self) -> Decimal:
        """What is left of all grants."""
        return sum(self.balances.values(), ZERO)

    @property
    def available(self) -> Decimal:
        """All credits of the usage period: those that were burned and those that are left."""
        return self.burned + self.balance

    def allows_more(self, *, is_hard: bool) -> bool:
        """Whether anything may be used: always if running out only counts, otherwise while credits are left."""
        return not is_hard or self.balance > 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A span in which no grant began, ended or was refilled, or the instant of a reset.

    Attributes:
        period: the span.
        balances: what was left of each grant at its start.
        overage: what was unpaid at its start.
        used: credits used in it.
        burned: what was taken of which grant, by its id, in the order in which they were burned.
    """

    period: Period
    balances: Mapping[str, Decimal]
    overage: Decimal
    used: Decimal
    burned: Mapping[str, Decimal]

    @property
    def balance(self) -> Decimal:
        """What was left of all grants at its start."""
        return sum(self.balances.values(), ZERO)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation comes to, and how.

    Attributes:
        snapshot: the figures at its end.
        segments: its spans, in order.
        movements: what became of each grant's credits, by its id.
        forgiven: overage that resets forgave.
    """

    snapshot: Snapshot
    segments: Sequence[Segment]
    movements: Mapping[str, Movements]
    forgiven: Decimal


@dataclass(frozen=True, slots=True)
class Window:
    """A span of a history.

    Attributes:
        period: the span.
        balance: what was left of all grants at its start.
        used: credits used in it.
    """

    period: Period
    balance: Decimal
    used: Decimal


@dataclass(frozen=True, slots=True)
class CreditBook:
    """Everything that decides what is left of credits.

    Attributes:
        grants: the grants, in any order.
        uses: what was used, in any order.
        resets: the ends of usage periods, in any order.
        order: the order in which grants are burned.
        is_level: whether uses are levels, of which the last one of a segment counts against whole grants.
    """

    grants: Sequence[Grant]
    uses: Sequence[Use] = ()
    resets: Sequence[Reset] = ()
    order: BurnOrder = BurnOrder.EXPIRY_FIRST
    is_level: bool = False

    def evaluate(self, start: Snapshot, until: datetime, *, with_ending: bool = False) -> Evaluation:
        """The figures at `until`, from a snapshot before it. Uses count from the snapshot on, and before `until`.

        Args:
            start: where to begin; what has happened by then is not looked at again.
            until: the instant that is asked about.
            with_ending: whether a grant that ends at `until` still counts, as OpenMeter answers. Its credits cannot
                be used then, and nothing may be evaluated further from such figures.

        Raises:
            InvalidArgumentError: a reset is not later than the snapshot.
        """
        if any(reset.at <= start.at for reset in self.resets):
            raise InvalidArgumentError.of_field(
                "resets",
                "value_is_out_of_range",
                f"provided reset times must occur after the starting snapshot ({start.at.isoformat()})",
            )
        return _Run(self, start).until(until, with_ending=with_ending)

    def history(self, start: Snapshot, bounds: Sequence[datetime]) -> list[Window]:
        """The windows between neighbouring bounds, the first of which is not before the snapshot.

        Raises:
            InvalidArgumentError: as `evaluate`.
        """
        windows: list[Window] = []
        at = self.evaluate(start, bounds[0]).snapshot if bounds else start
        for first, last in pairwise(bounds):
            later = replace(self, resets=[reset for reset in self.resets if reset.at > first])
            evaluation = later.evaluate(at, last)
            used = sum((segment.used for segment in evaluation.segments), ZERO)
            windows.append(Window(Period(first, last), at.balance, used))
            at = evaluation.snapshot
        return windows


class _Stock:
    """What is left of one grant while an evaluation goes on, and what has become of the rest."""

    __slots__ = ("balance", "burned", "expired", "grant", "granted", "lapsed", "opening", "voided")

    def __init__(self, grant: Grant, start: Snapshot) -> None:
        self.grant = grant
        self.opening = self.granted = self.burned = self.expired = self.voided = self.lapsed = ZERO
        if grant.is_active(start.at):
            if grant.id in start.balances:
                self.opening = start.balances[grant.id]
            else:
                self.granted = grant.amount
        self.balance = self.opening + self.granted

    def burn(self, missing: Decimal) -> Decimal:
        """Take what is missing, or all that is left; what was taken."""
        taken = min(missing, self.balance)
        self.balance -= taken
        self.burned += taken
        return taken

    def fill(self) -> None:
        """The balance becomes the amount, whatever was left."""
        self.lapsed += self.balance
        self.granted += self.grant.amount
        self.balance = self.grant.amount

    def end(self) -> None:
        """Nothing is left."""
        if self.grant.is_voided_at_end:
            self.voided += self.balance
        else:
            self.expired += self.balance
        self.balance = ZERO

    def roll_over(self) -> None:
        """The balance moves into the bounds that the grant sets for a reset."""
        kept = min(self.grant.max_rollover, max(self.grant.min_rollover, self.balance))
        self.granted += max(kept - self.balance, ZERO)
        self.lapsed += max(self.balance - kept, ZERO)
        self.balance = kept

    @property
    def movements(self) -> Movements:
        """What has become of it."""
        return Movements(self.opening, self.granted, self.burned, self.expired, self.voided, self.lapsed)


class _Run:
    """One evaluation: the figures as they are while it goes from cut to cut."""

    def __init__(self, book: CreditBook, start: Snapshot) -> None:
        self.is_level = book.is_level
        # In the order in which they are burned.
        self.stocks = [_Stock(grant, start) for grant in in_burn_order(book.grants, book.order)]
        self.uses = sorted(book.uses, key=lambda use: use.at)
        self.next_use = sum(use.at < start.at for use in self.uses)
        self.resets = {reset.at: reset for reset in book.resets}
        self.at, self.overage = start.at, start.overage
        self.used, self.burned = start.used, start.burned
        self.forgiven = ZERO
        self.segments: list[Segment] = []

    def until(self, end: datetime, *, with_ending: bool) -> Evaluation:
        """Go from cut to cut until the end."""
        begins, ends = self._cuts(end)
        resets = {at for at in self.resets if at <= end}
        if with_ending and end not in resets:
            ends.pop(end, None)
        for at in sorted({*begins, *ends, *resets}):
            self._burn_until(at)
            for stock in ends.get(at, ()):
                stock.end()
            if at in resets:
                self._reset(self.resets[at])
            for stock in begins.get(at, ()):
                stock.fill()
        self._burn_until(end)
        snapshot = Snapshot(self.at, self._balances(), self.overage, self.used, self.burned)
        movements = {stock.grant.id: stock.movements for stock in self.stocks}
        return Evaluation(snapshot, self.segments, movements, self.forgiven)

    def _cuts(self, end: datetime) -> tuple[dict[datetime, list[_Stock]], dict[datetime, list[_Stock]]]:
        """The grants that begin or are refilled, and those that end, by the instants after the snapshot."""
        begins: dict[datetime, list[_Stock]] = {}
        ends: dict[datetime, list[_Stock]] = {}
        for stock in self.stocks:
            ends_at = stock.grant.ends_at
            if ends_at is not None and ends_at <= stock.grant.effective_at:
                continue
            for at in _fillings(stock.grant, self.at, end):
                begins.setdefault(at, []).append(stock)
            if ends_at is not None and self.at < ends_at <= end:
                ends.setdefault(ends_at, []).append(stock)
        return begins, ends

    def _burn_until(self, end: datetime) -> None:
        """Burn what is used until a cut, and what is unpaid, from what is active."""
        if self.is_level:
            self._stand_anew()
        used, balances, overage = self._used_until(end), self._balances(), self.overage
        missing, burned = overage + used, dict[str, Decimal]()
        for stock in self.stocks:
            if missing and (taken := stock.burn(missing)):
                burned[stock.grant.id] = taken
                missing -= taken
        self.used += used
        self.burned += sum(burned.values(), ZERO)
        self.overage = missing
        self.segments.append(Segment(Period(self.at, end), balances, overage, used, burned))
        self.at = end

    def _used_until(self, end: datetime) -> Decimal:
        first = self.next_use
        while self.next_use < len(self.uses) and self.uses[self.next_use].at < end:
            self.next_use += 1
        units = [use.units for use in self.uses[first : self.next_use]]
        return sum(units[-1:] if self.is_level else units, ZERO)

    def _stand_anew(self) -> None:
        """A level stands against whole grants, whatever an earlier level took of them."""
        self.overage = ZERO
        for stock in self.stocks:
            if stock.grant.is_active(self.at):
                stock.fill()

    def _reset(self, reset: Reset) -> None:
        """Roll over what is left of the grants that were active before, and begin to count from 0."""
        for stock in self.stocks:
            if stock.grant.is_active(reset.at) and stock.grant.effective_at < reset.at:
                stock.roll_over()
        self.used = self.burned = ZERO
        if not reset.with_overage:
            self.forgiven += self.overage
            self.overage = ZERO
        self._burn_until(reset.at)

    def _balances(self) -> dict[str, Decimal]:
        return {stock.grant.id: stock.balance for stock in self.stocks}


def _fillings(grant: Grant, after: datetime, until: datetime) -> Iterator[datetime]:
    """When the balance of a grant becomes its amount, later than `after` and not later than `until`."""
    if after < grant.effective_at <= until:
        yield grant.effective_at
    if grant.recurrence is None:
        return
    for at in grant.recurrence.between(max(after, grant.effective_at), until):
        if not grant.is_active(at):
            return
        yield at
