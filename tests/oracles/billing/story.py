"""A subscription over time: what falls due when, and what is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.oracles.billing.books import Books, Draft
from tests.oracles.billing.charge import Fee
from tests.oracles.billing.measure import Event
from tests.oracles.billing.money import exact
from tests.oracles.billing.segment import Segment, yearly_cents
from tests.oracles.billing.totals import Coupon

Body = Mapping[str, Any]


@dataclass
class Pending:
    """A change that was promised: to another plan, or to an end."""

    at: datetime
    plan: Body | None
    credit: str


@dataclass
class Story:
    """One subscription. `play` is the way in.

    Attributes:
        scenario: the price sheet.
        books: what came of it.
        segments: the plans that were in force, one after the other.
    """

    scenario: Any
    books: Books
    segments: list[Segment] = field(default_factory=list)
    _open_at: datetime | None = None
    _trial_due: datetime | None = None
    _pending: Pending | None = None
    _ending_at: datetime | None = None
    _begins_at: datetime | None = None
    _plans: dict[str, Body] = field(default_factory=dict)

    # --- time -------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The subscription is asked for as the clock starts; it starts then, earlier or later."""
        given, now = self.scenario.subscription, self.scenario.starts_at
        self._begins_at = _instant(given.get("subscription_at")) or now
        self._plans = {plan["code"]: plan for plan in self.scenario.plans}
        self._ending_at = _instant(given.get("ending_at"))
        self.advance(now)

    def advance(self, to: datetime) -> None:
        """Let everything happen that is due until an instant, in order of time."""
        while (at := self._next_due()) is not None and at <= to:
            self._do_due(at)

    def _next_due(self) -> datetime | None:
        due = [self._begins_at, self._trial_due, self._ending_at if self.segments else None]
        due += [self._pending.at] if self._pending else []
        due += [self._open_end()] if self._open_at is not None else []
        due += [draft.until for draft in self.books.drafts]
        return min((at for at in due if at is not None), default=None)

    def _do_due(self, at: datetime) -> None:
        """The first thing that is due: starts, changes, ends and trials before periods, and those before drafts."""
        if self._begins_at == at:
            self._begins_at = None
            self._start(self.scenario.plan, at)
        elif self._pending is not None and self._pending.at == at:
            pending, self._pending = self._pending, None
            self._end(at, pending.plan, pending.credit, is_agreed=True)
        elif self._ending_at == at:
            # What was asked for an end that was still to come holds for this one.
            self._end(at, None, self._pending.credit if self._pending else "credit", is_agreed=True)
        elif self._trial_due == at:
            self._trial_due = None
            self._end_trial(at)
        elif self._open_at is not None and self._open_end() == at:
            self._close(at)
        else:
            self.books.finalize(next(draft for draft in self.books.drafts if draft.until == at))

    @property
    def _is_running(self) -> bool:
        """Whether the subscription has begun and not ended."""
        return bool(self.segments) and self._now.ended_at is None

    @property
    def _now(self) -> Segment:
        """The plan in force."""
        return self.segments[-1]

    def _open_end(self) -> datetime:
        assert self._open_at is not None
        return self._now.usage_calendar.span_at(self._open_at).end

    # --- what falls due ---------------------------------------------------------------------------------------------

    def _start(self, plan: Body, at: datetime) -> None:
        """A plan comes into force: a base price in advance is billed at once, unless a trial runs."""
        before = self.segments[-1] if self.segments else None
        segment = Segment(
            plan,
            self.scenario.timezone,
            anchor=before.anchor if before else at,
            is_anniversary=self.scenario.subscription["billing_time"] == "anniversary",
            starts_at=at,
            has_predecessor=before is not None,
        )
        self.segments.append(segment)
        self._open_at = at
        trial_ends_at = segment.trial_ends_at
        self._trial_due = trial_ends_at if trial_ends_at is not None and trial_ends_at > at else None
        if segment.is_in_advance and not segment.is_in_trial(at):
            self._bill_base(segment, at)

    def _end_trial(self, at: datetime) -> None:
        """The rest of a base price in advance; where a period begins at the same time, its invoice bills it."""
        segment = self._now
        begins = segment.calendar.span_at(at).start == at and segment.starts_at < at
        if segment.is_in_advance and not begins:
            self._bill_base(segment, at)

    def _bill_base(self, segment: Segment, at: datetime) -> None:
        base = self.books.base(segment, at)
        if base is not None:
            self.books.make(Draft(segment, None, [base], None, at), at)

    def _close(self, at: datetime) -> None:
        """A usage period ends and the next begins: usage, and where the plan's own period ends, base and commitment."""
        segment, opened_at = self._now, self._open_at
        assert opened_at is not None
        is_end = segment.calendar.span_at(opened_at).end == at
        base = None
        if is_end and not (segment.is_in_advance and segment.is_in_trial(at)):
            base = self.books.base(segment, at if segment.is_in_advance else opened_at)
        self._open_at = at
        self._invoice(segment, opened_at, base, opened_at if is_end else None, at)

    def _end(self, at: datetime, plan: Body | None, credit: str, *, is_agreed: bool = False) -> None:
        """A plan ceases to be in force: what is unused of a base price in advance is credited, the rest is invoiced."""
        segment, opened_at = self._now, self._open_at
        assert opened_at is not None
        if plan is None:
            segment.terminate(at, is_agreed=is_agreed)
        else:
            segment.change(at)
        self._pending = self._trial_due = self._open_at = None
        self._ending_at = self._ending_at if plan is not None else None
        self.books.credit_unused(segment, opened_at, at, credit)
        base = None if segment.is_in_advance else self.books.base(segment, opened_at)
        self._invoice(segment, opened_at, base, opened_at, at)
        if plan is not None:
            self._start(plan, at)

    def _invoice(
        self, segment: Segment, opened_at: datetime, base: Fee | None, committed_at: datetime | None, at: datetime
    ) -> None:
        """Invoice the usage period that was open."""
        usual = self.scenario.organization.get("invoice_grace_period_days", 0)
        own = self.scenario.customer.get("billing_configuration", {})
        grace = timedelta(days=own.get("invoice_grace_period", usual))
        others = [base] if base is not None else []
        self.books.make(Draft(segment, segment.part_of(opened_at), others, committed_at, at + grace), at)

    # --- verbs ------------------------------------------------------------------------------------------------------

    def can(self, step: Any) -> bool:
        """Whether a step can be done when its time has come; what cannot is refused, and changes nothing."""
        allowed: Mapping[str, Callable[[Body, datetime], bool]] = {
            "void": self._can_void,
            "pay": self._can_pay,
            "coupon": self._can_hold,
            "plan": self._can_change,
            "version": self._can_migrate,
            "cancel": lambda do, _: self._is_running and (do["cancel"] == "now" or self._pending is None),
            "give_back": self._can_give_back,
            "withdraw": lambda _do, _at: self._is_running and self._pending is not None,
        }
        verbs = [may for verb, may in allowed.items() if verb in step.do]
        return all(map(self._covers, step.events)) and all(may(step.do, step.at) for may in verbs)

    def _covers(self, given: Body) -> bool:
        """Whether an event is of a time in which the subscription ran; any other is not billable."""
        return any(segment.covers(datetime.fromisoformat(given["timestamp"])) for segment in self.segments)

    def _can_void(self, do: Body, _at: datetime) -> bool:
        """Whether an event is known, and another that is to count in its place can be billed."""
        is_known = do["void"] in {event.identity for event in self.books.known}
        return is_known and ("replacement" not in do or self._covers(do["replacement"]))

    def _can_pay(self, do: Body, _at: datetime) -> bool:
        """Whether an invoice is there, and so much of it is open."""
        if do["pay"] > len(self.books.invoices):
            return False
        invoice = self.books.invoices[do["pay"] - 1]
        return 0 < do.get("amount_cents", invoice.total_cents) <= invoice.total_cents - invoice.paid_cents

    def _can_give_back(self, do: Body, _at: datetime) -> bool:
        """Whether so much is left of the one fee that is meant, and anything of its invoice to give back."""
        if do["give_back"] > len(self.books.invoices):
            return False
        invoice = self.books.invoices[do["give_back"] - 1]
        meant = [
            number
            for number, fee in enumerate(invoice.fees)
            if (fee.kind, fee.code) == (do["type"], do.get("code", ""))
        ]
        if len(meant) != 1:
            return False
        left = invoice.fees[meant[0]].cents - invoice.credited_cents.get(meant[0], Fraction(0))
        is_left = invoice.sub_total_cents > invoice.credited_sub_total_cents and not any(invoice.coupons_cents)
        return is_left and 0 < do["amount_cents"] <= left

    def _can_hold(self, do: Body, _at: datetime) -> bool:
        """Whether a coupon is not in the customer's hand already."""
        return all(held.is_used_up for held in self.books.coupons if held.body["code"] == do["coupon"])

    def _can_change(self, do: Body, _at: datetime) -> bool:
        """Whether the subscription runs on another plan; a second promise is refused, a change at once is not."""
        plan = self._plans[do["plan"]]
        is_other = self._is_running and plan is not self._now.plan
        return is_other and (self._is_at_once(do, plan) or self._pending is None or self._is_asked_again(do, plan))

    def _can_migrate(self, do: Body, at: datetime) -> bool:
        """Whether the subscription is on the first version of a plan, and is still when its period ends."""
        first = _by_code(self.scenario.plans, do["version"]["code"])
        if not self._is_running or self._now.plan is not first or do["version"] == first:
            return False
        is_over_before = self._ending_at is not None and self._ending_at <= self._now.calendar.span_at(at).end
        return self._pending is None and not is_over_before

    def do(self, step: Any) -> None:
        """One step of the price sheet."""
        self.advance(step.at)
        for given in step.events:
            self._take(given)
        do = step.do
        if "plan" in do:
            self._change(do, step.at)
        if "version" in do:
            self._plans[do["version"]["code"]] = do["version"]
            self._pending = Pending(self._now.calendar.span_at(step.at).end, do["version"], "credit")
        if "cancel" in do:
            self._cancel(do, step.at)
        if "withdraw" in do:
            self._pending = None
        if "void" in do:
            self._void(do)
        self._do_with_money(do, step.at)

    def _do_with_money(self, do: Body, at: datetime) -> None:
        if "coupon" in do:
            self.books.coupons.append(Coupon(_by_code(self.scenario.coupons, do["coupon"])))
        if "pay" in do:
            invoice = self.books.invoices[do["pay"] - 1]
            invoice.paid_cents += do.get("amount_cents", invoice.total_cents)
        if "sell" in do:
            self.books.sell(do["sell"], at)
        if "give_back" in do:
            self.books.give_back(do)

    def _take(self, given: Body) -> None:
        """An event is sent. One that is known is counted once."""
        known = self.books.known
        if given["transaction_id"] not in {event.identity for event in known}:
            at, precise = datetime.fromisoformat(given["timestamp"]), given.get("precise_total_amount_cents")
            known.append(Event(at, given["transaction_id"], given["code"], given["properties"], exact(precise)))

    def _void(self, given: Body) -> None:
        """An event is taken back, or another is counted in its place."""
        self.books.known = [event for event in self.books.known if event.identity != given["void"]]
        if "replacement" in given:
            self._take(given["replacement"])

    def _change(self, given: Body, at: datetime) -> None:
        """Another plan: a dearer one now, a cheaper one when the plan's period ends, or as asked."""
        plan = self._plans[given["plan"]]
        if self._is_asked_again(given, plan):
            return
        if self._is_at_once(given, plan):
            self._end(at, plan, given.get("credit", "credit"))
        else:
            self._pending = Pending(self._now.calendar.span_at(at).end, plan, given.get("credit", "credit"))

    def _is_asked_again(self, given: Body, plan: Body) -> bool:
        """Whether a plan is promised already: asking for it once more changes nothing, unless it is wanted now."""
        return self._pending is not None and self._pending.plan is plan and given.get("when") != "now"

    def _is_at_once(self, given: Body, plan: Body) -> bool:
        if "when" in given:
            return bool(given["when"] == "now")
        return yearly_cents(plan) >= yearly_cents(self._now.plan)

    def _cancel(self, given: Body, at: datetime) -> None:
        if given["cancel"] == "now":
            self._end(at, None, given.get("credit", "credit"))
        else:
            self._pending = Pending(self._now.calendar.span_at(at).end, None, given.get("credit", "credit"))


def play(scenario: Any) -> Books:
    """What comes of a price sheet."""
    story = Story(scenario, Books(scenario))
    story.begin()
    for step in scenario.steps:
        story.do(step)
    story.advance(scenario.ends_at)
    return story.books


def _by_code(bodies: Any, code: str) -> Body:
    found: Body = {body["code"]: body for body in bodies}[code]
    return found


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
