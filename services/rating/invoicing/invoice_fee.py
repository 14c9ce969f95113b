"""A fee on an invoice: with an identity, its shares of coupons and taxes, and the proof of what it counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from services.kernel.ids import FeeId, new_id
from services.kernel.money import ZERO, Currency
from services.rating.pricing.charge_filter import Conditions
from services.rating.pricing.fee import Fee
from services.rating.pricing.metric import Aggregation
from services.rating.pricing.tax import Tax


@dataclass(frozen=True, slots=True)
class Proof:
    """The fixed predicate of what a fee counted, with count, sum and digest of the events.

    Everything meant for people is kept in the words of the day: a metric may be renamed later, the fee is not.

    Attributes:
        period_start: the start of the billing period whose usage was counted; None for a fee without usage.
        metric_id, metric_version, metric_name, aggregation: the metric with which it was counted.
        charge_code, charge_model: the code of the charge within its plan, and the name of its model.
        filter_name, filter_values: the name of the filter that matched, and the values that it requires, by property.
        shard, watermark: the shard of the log, and its last batch that was counted.
        event_count: how many events were counted.
        units: their aggregate.
        digest: the sum of the events' digests modulo 2^128.
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
    metric_name: str = ""
    aggregation: Aggregation | None = None
    charge_code: str = ""
    filter_values: Conditions = ()


NO_USAGE = Proof()


@dataclass(frozen=True, slots=True)
class ProvenFee:
    """A fee with the proof of what it counted, before it is on an invoice."""

    fee: Fee
    proof: Proof = NO_USAGE


def new_fee(proven: ProvenFee, external_subscription_id: str, *, fee_id: FeeId | None = None) -> InvoiceFee:
    """A fee for an invoice, with a new identity unless one is given."""
    identity = FeeId(new_id()) if fee_id is None else fee_id
    return InvoiceFee(identity, proven.fee, proven.proof, external_subscription_id=external_subscription_id)


@dataclass(frozen=True, slots=True)
class InvoiceFee:
    """A fee on an invoice.

    Attributes:
        fee_id: its identity.
        fee: the fee.
        proof: what it counted.
        coupons_amount: the exact amount that coupons took off it, in major units.
        taxes_amount_cents: the taxes on this fee alone, rounded; what is due are the taxes on the whole invoice.
        external_subscription_id: the organization's id of the subscription; empty for a one-off item.
    """

    fee_id: FeeId
    fee: Fee
    proof: Proof = NO_USAGE
    coupons_amount: Decimal = ZERO
    taxes_amount_cents: int = 0
    external_subscription_id: str = ""

    @property
    def taxes_rate_percent(self) -> Decimal:
        """Percent of all its taxes together."""
        return sum((tax.rate_percent for tax in self.fee.taxes), ZERO)

    def with_share(self, coupons_amount: Decimal, currency: Currency) -> InvoiceFee:
        """The fee with what coupons take off it, and with its own taxes on the rest."""
        if not coupons_amount and not self.fee.taxes and not self.coupons_amount and not self.taxes_amount_cents:
            return self
        shared = replace(self, coupons_amount=coupons_amount)
        return replace(shared, taxes_amount_cents=sum(amount for _, amount in shared.taxes(currency)))

    def taxes(self, currency: Currency) -> tuple[tuple[Tax, int], ...]:
        """Its taxes, each with its amount on this fee alone, in minor units."""
        base = currency.to_major(self.fee.amount_cents) - self.coupons_amount
        return tuple((tax, currency.to_minor(tax.of(base))) for tax in self.fee.taxes)
