"""The books of a subscription: its invoices, drafts and credit notes, worked out from every event that is known.

Nothing is counted on arrival. Whenever an invoice is made, its usage is worked out from all events. So is every period
that was invoiced before: what it would cost now, less what was billed of it, is adjusted on the new invoice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracles.billing import totals
from tests.oracles.billing.charge import Fee, Part, about, fees
from tests.oracles.billing.days import Days, Span
from tests.oracles.billing.measure import Event
from tests.oracles.billing.money import exact, from_cents, nearest, to_cents
from tests.oracles.billing.segment import Segment
from tests.oracles.billing.totals import Coupon, Invoice, Note

Body = Mapping[str, Any]
# Kinds of fees that count towards a plan's minimum commitment.
_COMMITTED = {"subscription", "charge", "true_up", "adjustment"}


class Closed(NamedTuple):
    """A usage period that was invoiced."""

    segment: Segment
    part: Part


@dataclass
class Draft:
    """An invoice that waits for its grace to end.

    Attributes:
        segment, part: the usage it bills; priced again when it is finalized.
        others: its other fees: base price, adjustments.
        committed_at: an instant of the plan's period whose commitment is due; None for none.
        until: when it is finalized.
    """

    segment: Segment
    part: Part | None
    others: list[Fee]
    committed_at: datetime | None
    until: datetime


@dataclass
class Books:
    """What one subscription was billed.

    Attributes:
        scenario: the price sheet.
        known: events that were sent and not taken back.
        invoices: finalized, in their order.
        drafts: the others.
        notes: credit notes, in their order.
        coupons: in the customer's hand.
    """

    scenario: Any
    known: list[Event] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    coupons: list[Coupon] = field(default_factory=list)
    _closed: list[Closed] = field(default_factory=list)
    _billed: list[tuple[Segment, Fee]] = field(default_factory=list)
    _committed: list[tuple[Segment, datetime]] = field(default_factory=list)

    # --- invoices ---------------------------------------------------------------------------------------------------

    def base(self, segment: Segment, period_at: datetime) -> Fee | None:
        """The base price of the plan's period that holds an instant."""
        base = segment.base_fee(period_at)
        return None if base is None else _of(segment, replace(base, taxes=self._taxes(segment.plan.get("tax_codes"))))

    def make(self, draft: Draft, at: datetime) -> None:
        """An invoice is due; it is final at once where there is no grace."""
        usage = self._usage_and_commitment(draft)
        draft.others += self._adjustments([*draft.others, *usage])
        if draft.part is not None:
            self._closed.append(Closed(draft.segment, draft.part))
        if draft.until > at and (draft.others or usage):
            self.drafts.append(draft)
        else:
            self.finalize(draft)

    def finalize(self, draft: Draft) -> None:
        """Price the usage with all that is known by now, and use what the customer holds."""
        self.drafts = [other for other in self.drafts if other is not draft]
        usage = self._usage_and_commitment(draft)
        self._billed += [(draft.segment, fee) for fee in usage]
        if draft.committed_at is not None:
            self._committed.append((draft.segment, draft.committed_at))
        self._finalize([*draft.others, *usage])

    def _finalize(self, found: list[Fee]) -> None:
        """Total fees, where there are any, and number their invoice."""
        if found:
            invoice = Invoice(found)
            totals.total(invoice, self._rates, self.coupons, self.notes)
            self.invoices.append(invoice)

    def _usage_and_commitment(self, draft: Draft) -> list[Fee]:
        usage = self._usage(draft.segment, draft.part) if draft.part is not None else []
        if draft.committed_at is None:
            return usage
        return [*usage, *self._commitment(draft, [*draft.others, *usage])]

    def _usage(self, segment: Segment, part: Part) -> list[Fee]:
        """The fees of a usage period with all that is known now; none of one without an instant and without a day."""
        found: list[Fee] = []
        if part.span.start >= part.span.end and not part.days.count():
            return found
        for number, charge in enumerate(segment.plan.get("charges", ())):
            metric = next(body for body in self.scenario.metrics if body["code"] == charge["billable_metric_id"])
            events = sorted(event for event in self.known if event.code == metric["code"])
            taxes = self._taxes(charge.get("tax_codes"), segment.plan.get("tax_codes"))
            own = fees(charge, metric, events, part)
            found += [_of(segment, about(fee, charge, number, segment.plan, taxes)) for fee in own]
        return found

    def _commitment(self, draft: Draft, own: Sequence[Fee]) -> list[Fee]:
        """What the plan's period lacks to its commitment, with what was adjusted of it."""
        assert draft.committed_at is not None
        return self._missing(draft.segment, draft.committed_at, own, draft)

    def _missing(
        self, segment: Segment, committed_at: datetime, own: Sequence[Fee], draft: Draft | None = None
    ) -> list[Fee]:
        """What all fees of a plan's period lack. A base price counts for the days that were used."""
        span = segment.calendar.span_at(committed_at)
        billed = [(fee, 0) for fee in own]
        for other in self.drafts:
            if other is not draft:
                usage = self._usage(other.segment, other.part) if other.part is not None else []
                billed += [(fee, 0) for fee in (*other.others, *usage)]
        for invoice in self.invoices:
            for number, fee in enumerate(invoice.fees):
                billed.append((fee, invoice.unused_cents.get(number, 0)))
        missing = segment.commitment_cents(committed_at) - sum(
            fee.cents - unused_cents
            for fee, unused_cents in billed
            if _counts(fee) and fee.subject[:1] == (id(segment),) and span.start <= fee.span.start < span.end
        )
        if missing <= 0:
            return []
        code, taxes = segment.plan["code"], self._taxes(segment.plan.get("tax_codes"))
        days = segment.calendar.span_of(segment.days_of(segment.calendar.days_at(committed_at)))
        return [Fee("commitment", code, missing, days, subject=(id(segment), code), taxes=taxes, plan=code)]

    def sell(self, items: Sequence[Body], at: datetime) -> None:
        """Invoice items that are sold once; those without taxes of their own have the customer's."""
        currency = self.scenario.plan["amount_currency"]
        found = []
        for item in items:
            cents = to_cents(exact(item["units"]) * from_cents(item["unit_amount_cents"], currency), currency)
            taxes = self._taxes(item.get("tax_codes"))
            found.append(
                Fee("add_on", item.get("add_on_code", ""), cents, Span(at, at), exact(item["units"]), taxes=taxes)
            )
        self._finalize(found)

    # --- late events ------------------------------------------------------------------------------------------------

    def _adjustments(self, others: Sequence[Fee]) -> list[Fee]:
        """What the periods invoiced before owe, or are owed, by what is known now.

        One below zero is put on the invoice while other fees of the same taxes outweigh it; otherwise it waits.
        """
        if self.scenario.organization.get("late_events") == "ignore":
            return []
        waiting = {id(draft.part) for draft in self.drafts}
        owed = [
            (segment, fee)
            for segment, part in self._closed
            if id(part) not in waiting
            for fee in self._difference(segment, part)
        ]
        owed += [
            (segment, fee)
            for segment, committed_at in self._committed
            for fee in self._difference_of_commitment(segment, committed_at, [fee for _, fee in owed])
        ]
        room: dict[tuple[str, ...], int] = {}
        for fee in [*others, *(fee for _, fee in owed if fee.cents > 0)]:
            room[fee.taxes] = room.get(fee.taxes, 0) + fee.cents
        placed = []
        for segment, fee in owed:
            if fee.cents < 0:
                if room.get(fee.taxes, 0) + fee.cents < 0:
                    continue
                room[fee.taxes] += fee.cents
            placed.append(fee)
            self._billed.append((segment, fee))
        return placed

    def _difference(self, segment: Segment, part: Part) -> list[Fee]:
        """What a period would cost now, less what was billed of it, fee by fee."""
        billed = [fee for owner, fee in self._billed if owner is segment and fee.span == part.span]
        billed = [fee for fee in billed if not _is_of_commitment(fee)]
        now = {fee.subject: fee for fee in self._usage(segment, part)}
        gone = {fee.subject: replace(fee, cents=0, units=Fraction(0)) for fee in billed if fee.subject not in now}
        found = []
        for subject, fee in {**now, **gone}.items():
            before = [other for other in billed if other.subject == subject]
            cents = fee.cents - sum(other.cents for other in before)
            if cents:
                changed = fee.units - sum((other.units for other in before), Fraction(0))
                found.append(replace(fee, kind="adjustment", cents=cents, units=changed))
        return found

    def _difference_of_commitment(self, segment: Segment, committed_at: datetime, owed: Sequence[Fee]) -> list[Fee]:
        """What a commitment that was decided lacks more or less, now that its period's usage is adjusted."""
        now = self._missing(segment, committed_at, owed)
        span = segment.calendar.span_at(committed_at)
        before = [
            fee
            for owner, fee in self._billed
            if owner is segment and _is_of_commitment(fee) and span.start <= fee.span.start < span.end
        ]
        cents = sum(fee.cents for fee in now) - sum(fee.cents for fee in before)
        return [replace((now or before)[0], kind="adjustment", cents=cents)] if cents else []

    # --- money back -------------------------------------------------------------------------------------------------

    def credit_unused(self, segment: Segment, opened_at: datetime, at: datetime, resolution: str) -> None:
        """A plan ends within a period that was paid in advance: its unused days are given back, unless a trial runs."""
        nominal = segment.calendar.days_at(opened_at)
        free_from = segment.free_from
        if not segment.plan.get("pay_in_advance") or segment.is_in_trial(at):
            return
        if free_from is None or free_from >= nominal.end:
            return
        span = segment.calendar.span_of(nominal)

        def is_base(fee: Fee) -> bool:
            is_own = fee.kind == "subscription" and fee.subject == (id(segment),)
            return is_own and span.start <= fee.span.start < span.end

        # Only what is final can be credited.
        for draft in [draft for draft in self.drafts if any(map(is_base, draft.others))]:
            self.finalize(draft)
        billed = [
            (invoice, index) for invoice in self.invoices for index, fee in enumerate(invoice.fees) if is_base(fee)
        ]
        if billed and resolution != "none":
            invoice, number = billed[-1]
            unused = Days(max(free_from, segment.base_days(nominal).first), nominal.end)
            worth = Fraction(segment.plan["amount_cents"]) * Fraction(unused.count(), nominal.count())
            invoice.unused_cents[number] = nearest(totals.cut(min(worth, Fraction(invoice.fees[number].cents))))
            note = totals.credit(invoice, number, worth, self._rates, resolution)
            self.notes += [note] if note is not None else []

    def give_back(self, given: Body) -> None:
        """So much of a fee is given back to the customer's balance."""
        invoice = self.invoices[given["give_back"] - 1]
        wanted = given["type"], given.get("code", "")
        number = next(place for place, fee in enumerate(invoice.fees) if (fee.kind, fee.code) == wanted)
        cents = given["amount_cents"] + invoice.credited_cents.get(number, Fraction(0))
        note = totals.credit(invoice, number, cents, self._rates, "credit")
        self.notes += [note] if note is not None else []

    # --- taxes ------------------------------------------------------------------------------------------------------

    @property
    def _rates(self) -> dict[str, Fraction]:
        return {tax["code"]: exact(tax["rate"]) for tax in self.scenario.taxes}

    def _taxes(self, *levels: Sequence[str] | None) -> tuple[str, ...]:
        """The codes of the first level that names any: charge, plan, customer, organization."""
        everybody = [tax["code"] for tax in self.scenario.taxes if tax.get("applied_to_organization")]
        found = next((codes for codes in (*levels, self.scenario.customer.get("tax_codes")) if codes), everybody)
        return tuple(sorted(found))


def _is_of_commitment(fee: Fee) -> bool:
    """Whether it is what was missing to a commitment, or corrects that: it is for no charge."""
    return fee.subject[1:] == (fee.plan,)


def _counts(fee: Fee) -> bool:
    """Whether a fee counts towards a commitment."""
    return fee.kind in _COMMITTED and not _is_of_commitment(fee)


def _of(segment: Segment, fee: Fee) -> Fee:
    """A fee with whose it is."""
    return replace(fee, subject=(id(segment), *fee.subject))
