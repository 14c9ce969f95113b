"""The bill: an invoice as it is kept, with what identifies it and what proves its fees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from services.kernel.ids import FeeId, OrganizationId, SubscriptionId
from services.kernel.money import ZERO, Currency
from services.kernel.period import Period
from services.rating.customers.customer import Customer
from services.rating.invoicing.invoice import Invoice, Totals
from services.rating.pricing.fee import Fee


class InvoiceKind(StrEnum):
    """What an invoice is for."""

    SUBSCRIPTION = "subscription"
    ONE_OFF = "one_off"


@dataclass(frozen=True, slots=True)
class Proof:
    """The frozen predicate of what a fee counted, with count, sum and digest of the events.

    Attributes:
        period_start: start of the billing period whose usage was counted; None for a fee without usage.
        metric_id, metric_version: the metric it was counted with.
        charge_model: name of the charge model.
        filter_name: what the filter that matched is called.
        shard, watermark: shard of the log, and the last batch of it that was counted.
        event_count: events counted.
        units: their aggregate.
        digest: sum of the events' digests modulo 2^128.
    """

    period_start: datetime | None = None
    metric_id: str = ""
    metric_version: int = 0
    charge_model: str = ""
    filter_name: str = ""
    shard: int = 0
    watermark: int = 0
    event_count: int = 0
    units: Decimal = ZERO
    digest: int = 0


NO_USAGE = Proof()


@dataclass(frozen=True, slots=True)
class BilledFee:
    """A fee on an invoice.

    Attributes:
        fee_id: its identity.
        fee: the fee.
        proof: what it counted.
        coupon_amount: exact amount that coupons took off it, in major units.
        taxes_cents: its own share of the taxes, rounded by itself; only a whole invoice's taxes are due.
    """

    fee_id: FeeId
    fee: Fee
    proof: Proof = NO_USAGE
    coupon_amount: Decimal = ZERO
    taxes_cents: int = 0

    @property
    def taxes_rate_percent(self) -> Decimal:
        """Percent of all its taxes together."""
        return sum((tax.rate_percent for tax in self.fee.taxes), ZERO)


@dataclass(frozen=True, slots=True)
class BillTerms:
    """What a draft is computed again from.

    Attributes:
        subscription_id: the subscription whose run made it; None for one-off invoices.
        usage_start: start of the billing period whose usage it bills; None when it bills none.
        commitment, commitment_of: the part of the plan's period on which a minimum commitment is due, and the full
            period; None when none is.
    """

    subscription_id: SubscriptionId | None = None
    usage_start: datetime | None = None
    commitment: Period | None = None
    commitment_of: Period | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """An invoice as it is kept.

    Attributes:
        organization_id: owner.
        kind: what it is for.
        invoice: state, totals and payment; its fees are those of `fees`.
        customer: the customer as it was when the invoice was made or finalized.
        timezone: zone its days are counted in.
        fees: its fees.
        period: the span whose closing made it; None for one-off invoices.
        terms: what a draft is computed again from.
        created_at: when it was made.
        grace_ends_at: until when it stays a draft.
        issuing_date, payment_due_date: days in `timezone`.
        sequential_id: running number; None on a draft.
    """

    organization_id: OrganizationId
    kind: InvoiceKind
    invoice: Invoice
    customer: Customer
    timezone: str
    fees: tuple[BilledFee, ...]
    created_at: datetime
    grace_ends_at: datetime
    issuing_date: date
    payment_due_date: date
    period: Period | None = None
    terms: BillTerms = BillTerms()
    sequential_id: int | None = None

    @property
    def subscription_ids(self) -> tuple[SubscriptionId, ...]:
        """The subscriptions on it, in the order of the fees."""
        ids = (each.fee.subscription_id for each in self.fees)
        known = (self.terms.subscription_id, *ids)
        return tuple(dict.fromkeys(each for each in known if each))

    def moved(self, invoice: Invoice) -> Bill:
        """The bill after a verb moved its invoice."""
        return replace(self, invoice=invoice)

    def with_totals(self, fees: Sequence[BilledFee], totals: Totals) -> Bill:
        """The draft with its fees and what they come to."""
        kept = tuple(
            _share(each, amount, self.invoice.currency)
            for each, amount in zip(fees, totals.coupon_amounts, strict=True)
        )
        invoice = replace(self.invoice, fees=tuple(each.fee for each in kept), totals=totals)
        return replace(self, fees=kept, invoice=invoice)


def _share(billed: BilledFee, coupon_amount: Decimal, currency: Currency) -> BilledFee:
    """The fee with its shares of coupons and taxes."""
    if not coupon_amount and not billed.fee.taxes and not billed.coupon_amount and not billed.taxes_cents:
        return billed
    base = currency.to_major(billed.fee.amount_cents) - coupon_amount
    taxes_cents = sum(currency.to_minor(tax.of(base)) for tax in billed.fee.taxes)
    return replace(billed, coupon_amount=coupon_amount, taxes_cents=taxes_cents)
