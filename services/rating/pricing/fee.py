"""Fees: the computed amount of one thing in one period, with its explanation."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from services.kernel.errors import FailedPreconditionError
from services.kernel.ids import ChargeId, SubscriptionId
from services.kernel.money import Currency
from services.kernel.period import Period
from services.rating.pricing.charges import Line, Priced
from services.rating.pricing.tax import Tax

# Ten billion thousands in major units: more than anybody is billed, and ten thousand such amounts still sum up within
# 64 bits. Usage with a larger amount is a mistake of the sender; the period waits until it is corrected.
MAX_AMOUNT_CENTS = 10**15


def require_amount_within(amount_cents: int) -> int:
    """The amount, in minor units, unless it exceeds what can be billed.

    Raises:
        FailedPreconditionError: `AMOUNT_TOO_LARGE`.
    """
    if abs(amount_cents) > MAX_AMOUNT_CENTS:
        raise FailedPreconditionError(
            "AMOUNT_TOO_LARGE", f"an amount is beyond {MAX_AMOUNT_CENTS} minor units; correct its usage or its price"
        )
    return amount_cents


class FeeKind(StrEnum):
    """What a fee is for."""

    SUBSCRIPTION = "subscription"
    CHARGE = "charge"
    TRUE_UP = "true_up"
    COMMITMENT = "commitment"
    ADJUSTMENT = "adjustment"
    ADD_ON = "add_on"


@dataclass(frozen=True, slots=True)
class Fee:
    """One amount of an invoice. Build it with `Fee.of`, which rounds.

    Attributes:
        kind: what it is for.
        period: the span it pays for.
        precise_amount: exact amount in major currency units, the sum of the lines.
        amount_cents: the same, rounded once, half away from zero, in minor units; below zero only for an adjustment.
        units: what was priced.
        event_count: usage events behind it.
        lines: how the amount came about.
        description: what an invoice calls it.
        subscription_id: the subscription whose fee it is; None for an add-on without subscription.
        plan_code: the plan it was priced under.
        charge_id: the charge, for charge, true-up and adjustment fees.
        metric_code: the charge's billable metric.
        filter_key: the charge filter that matched, empty for the charge's default price.
        group: values of the charge's group keys.
        taxes: the taxes that apply to it.
        full_period_amount: price of the full period before proration, for subscription fees; a credit for unused days
            is computed from it.
        adjusts: the kind of fee that an adjustment corrects; None for other fees.
    """

    kind: FeeKind
    period: Period
    precise_amount: Decimal
    amount_cents: int
    units: Decimal
    event_count: int
    lines: tuple[Line, ...]
    description: str = ""
    subscription_id: SubscriptionId | None = None
    plan_code: str = ""
    charge_id: ChargeId | None = None
    metric_code: str | None = None
    filter_key: str = ""
    group: tuple[tuple[str, str], ...] = ()
    taxes: tuple[Tax, ...] = ()
    full_period_amount: Decimal | None = None
    adjusts: FeeKind | None = None

    @classmethod
    def of(cls, kind: FeeKind, period: Period, priced: Priced, currency: Currency, *, event_count: int = 0) -> Fee:
        """The fee of a price, rounded here and nowhere else; add the other fields with `dataclasses.replace`.

        Raises:
            FailedPreconditionError: `AMOUNT_TOO_LARGE`.
        """
        amount_cents = require_amount_within(currency.to_minor(priced.to_round))
        return cls(kind, period, priced.amount, amount_cents, priced.units, event_count, priced.lines)

    @property
    def is_of_commitment(self) -> bool:
        """Whether it is what was missing to a minimum commitment, or corrects that."""
        return FeeKind.COMMITMENT in {self.kind, self.adjusts}

    @property
    def item_code(self) -> str:
        """The organization's code of a one-off item; empty for other fees."""
        return self.filter_key.partition(":")[2] if self.kind is FeeKind.ADD_ON else ""

    @property
    def subject(self) -> tuple[str, ...]:
        """What the fee is for: equal for the same fee of a period that is rated again, and for adjustments of it."""
        kind = self.kind if self.adjusts is None else self.adjusts
        span = (self.period.start.isoformat(), self.period.end.isoformat())
        group = tuple(text for pair in self.group for text in pair)
        return (kind, self.subscription_id or "", self.charge_id or "", *span, self.filter_key, *group)
