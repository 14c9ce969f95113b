"""A fee as it stands on an invoice: with identity, shares of coupons and taxes, and the proof of what it counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from services.kernel.ids import FeeId
from services.kernel.money import ZERO, Currency
from services.rating.pricing.fee import Fee


@dataclass(frozen=True, slots=True)
class Proof:
    """The fixed predicate of what a fee counted, with count, sum and digest of the events.

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
class ProvenFee:
    """A fee with the proof of what it counted, before it is on an invoice."""

    fee: Fee
    proof: Proof = NO_USAGE


@dataclass(frozen=True, slots=True)
class InvoiceFee:
    """A fee on an invoice.

    Attributes:
        fee_id: its identity.
        fee: the fee.
        proof: what it counted.
        coupons_amount: exact amount that coupons took off it, in major units.
        taxes_amount_cents: its own share of the taxes, rounded by itself; only a whole invoice's taxes are due.
    """

    fee_id: FeeId
    fee: Fee
    proof: Proof = NO_USAGE
    coupons_amount: Decimal = ZERO
    taxes_amount_cents: int = 0

    @property
    def taxes_rate_percent(self) -> Decimal:
        """Percent of all its taxes together."""
        return sum((tax.rate_percent for tax in self.fee.taxes), ZERO)

    def with_share(self, coupons_amount: Decimal, currency: Currency) -> InvoiceFee:
        """The fee with what coupons take off it, and its own taxes on the rest."""
        if not coupons_amount and not self.fee.taxes and not self.coupons_amount and not self.taxes_amount_cents:
            return self
        base = currency.to_major(self.fee.amount_cents) - coupons_amount
        taxes_amount_cents = sum(currency.to_minor(tax.of(base)) for tax in self.fee.taxes)
        return replace(self, coupons_amount=coupons_amount, taxes_amount_cents=taxes_amount_cents)
