"""A plan, its subscription and zone: what the cases about periods are asked of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.kernel.cadence import Alignment, Cadence, period_containing
from services.kernel.ids import CustomerId, SubscriptionId
from services.kernel.period import Period
from services.rating.agreements.change import ChangeEffect, ChangeTiming, request_cancellation, request_change
from services.rating.agreements.resolution import Resolution
from services.rating.agreements.subscription import Subscription, activate
from services.rating.invoicing.credit_note import CreditNote, credit_unused
from services.rating.invoicing.invoice import Balance, Totals, compute_totals
from services.rating.pricing.base_price import base_fee, billed_part
from services.rating.pricing.charge_filter import Bucket
from services.rating.pricing.charge_usage import ChargeUsage, Window
from services.rating.pricing.charges import Standard
from services.rating.pricing.due import Due, due_at
from services.rating.pricing.fee import Fee
from services.rating.pricing.metric import Aggregation, BillableMetric
from services.rating.pricing.plan import Charge, Plan
from services.rating.pricing.rate import RatedFor, rate_charge
from tests.rating_case_invoice_runner import creditable
from tests.rating_case_runner import CHARGE, EUR, SUBSCRIPTION, default_interval, major, taxes_at

_SECOND = timedelta(seconds=1)
COUNT = BillableMetric("metric", Aggregation.COUNT)
SUM = BillableMetric("metric", Aggregation.SUM, "amount")
RECURRING_SUM = replace(SUM, recurring=True)


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def span(period: Period) -> dict[str, object]:
    """A half-open period the way the cases write it, with its last second."""
    return {"from": _text(period.start), "to": _text(period.end - _SECOND)}


@dataclass(frozen=True)
class Billed:
    """A subscription, its plan and zone: the questions the cases ask of them."""

    plan: Plan
    subscription: Subscription
    timezone: str = "UTC"

    @classmethod
    def start(
        cls, given: Mapping[str, Any], at: datetime, *, alignment: str = "calendar", timezone: str = "UTC"
    ) -> Billed:
        """The plan of a case, subscribed to at an instant and active."""
        pending = Subscription(SUBSCRIPTION, "external", CustomerId("c"), "plan", 1, Alignment(alignment), at, at, at)
        return cls(plan_from(given), activate(pending, at=at), timezone)

    def cadence(self) -> Cadence:
        return self.subscription.cadence(self.plan.interval, self.timezone)

    def nominal(self, at: datetime) -> Period:
        return period_containing(self.cadence(), at)

    def base_fee(self, nominal: Period) -> Fee | None:
        subscription = self.subscription
        part = billed_part(
            nominal,
            starts_at=subscription.starts_at,
            ends_at=subscription.base_ends_at,
            trial_ends_at=subscription.trial_ends_at(self.plan, self.timezone),
            ended_at=subscription.ended_at,
            timezone=self.timezone,
        )
        return base_fee(self.plan, subscription.subscription_id, nominal, part, self.timezone)

    def first_fee(self) -> Fee:
        fee = self.base_fee(self.nominal(self.subscription.starts_at))
        assert fee is not None
        return fee

    def terminate(self, at: datetime) -> ChangeEffect:
        return request_cancellation(
            self.subscription, self.plan, at=at, timezone=self.timezone, timing=ChangeTiming.NOW
        )

    def upgrade(self, plan: Plan, at: datetime) -> ChangeEffect:
        new_id = SubscriptionId(f"after {self.subscription.subscription_id}")
        return request_change(self.subscription, self.plan, plan, new_id=new_id, at=at, timezone=self.timezone)

    def due(self, at: datetime) -> Due:
        return due_at(self.plan, self.cadence(), at)

    def rate(
        self, charge: Charge, metric: BillableMetric, usage: ChargeUsage, period: Period, nominal: Period
    ) -> tuple[Fee, ...]:
        rated_for = RatedFor(SUBSCRIPTION, "plan", EUR, Window(period, nominal, self.timezone))
        return rate_charge(charge, metric, {Bucket(): usage}, rated_for)


def plan_from(given: Mapping[str, Any]) -> Plan:
    """The plan of a case."""
    return Plan(
        code="plan",
        currency=EUR,
        interval=default_interval(given),
        base_amount=major(given["amount_cents"]),
        in_advance=given.get("pay_in_advance", False),
        trial_days=given.get("trial_period_days", 0),
        minimum_commitment_amount=major(given.get("minimum_commitment_cents")),
    )


def totals_of(fees: Sequence[Fee], rate: int | None, balances: Sequence[Balance] = ()) -> Totals:
    """The totals of fees that are all taxed alike."""
    taxed = [replace(fee, taxes=taxes_at(rate)) for fee in fees]
    return compute_totals(taxed, EUR, credit_notes=balances)


def unused_note(
    fee: Fee, effect: ChangeEffect, rate: int, *, paid_cents: int = 0, resolution: str = "credit"
) -> CreditNote:
    """The credit note that a change or cancellation issues on the invoice of one base fee."""
    taxed = replace(fee, taxes=taxes_at(rate))
    invoice = creditable([taxed], totals_of([fee], rate), paid_cents=paid_cents)
    assert effect.preview.unused is not None
    note = credit_unused(invoice, 0, effect.preview.unused, EUR, Resolution(resolution))
    assert note is not None
    return note


def standard(amount: str, *, prorated: bool = False) -> Charge:
    """A standard charge at a price."""
    return Charge(CHARGE, "metric", Standard(Decimal(amount)), prorated=prorated)


def events(metric: BillableMetric, at: Sequence[datetime], amount: str = "1", *, prorated: bool = False) -> ChargeUsage:
    """Usage of a standard charge."""
    measured = [
        metric.measure(event_id=f"event-{number}", at=each, properties={"amount": amount})
        for number, each in enumerate(at)
    ]
    return ChargeUsage.empty(metric, Standard(Decimal(1)), prorated=prorated).add(measured)
