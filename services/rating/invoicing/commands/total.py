"""Totalling: the totals of an invoice's fees with the coupons and credits that its customer holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.ids import CustomerId, OrganizationId
from services.rating.catalog.store.coupons import coupons_of, save_applied
from services.rating.invoicing.invoice import Invoice, refresh
from services.rating.invoicing.store import credit_notes
from services.rating.invoicing.totals import Balance, Totals, compute_totals
from services.rating.pricing.catalog import AppliedCoupon


@dataclass(slots=True)
class Holdings:
    """What customers hold when they are invoiced: coupons, and balances of credit notes.

    They are locked until the transaction ends, and used up invoice by invoice within it.

    Attributes:
        coupons: the coupons, by customer.
        balances: what is left of credit notes, by customer and currency.
        spent: what has been taken off each credit note so far, in minor units.
        used_coupons: the coupons that an invoice has used, as they are now.
    """

    coupons: dict[CustomerId, list[AppliedCoupon]]
    balances: dict[tuple[CustomerId, str], list[Balance]]
    spent: dict[str, int]
    used_coupons: dict[str, AppliedCoupon]

    @classmethod
    def of(
        cls, tx: Connection, organization: OrganizationId, customers: Iterable[CustomerId], at: datetime
    ) -> Holdings:
        """What customers hold at an instant."""
        ids = set(customers)
        return cls(coupons_of(tx, organization, ids, at), credit_notes.lock_balances(tx, organization, ids), {}, {})

    def save(self, tx: Connection, organization: OrganizationId, at: datetime) -> None:
        """Store what was used."""
        credit_notes.use(tx, organization, self.spent)
        for applied_coupon_id, applied in self.used_coupons.items():
            save_applied(tx, organization, applied_coupon_id, applied.coupon.terms, at)


def total(draft: Invoice, holdings: Holdings) -> Invoice:
    """A draft with its preliminary totals; credit notes are used only at finalization, and nothing is used up."""
    return refresh(draft, draft.fees, _totals(draft, holdings, balances=()))


def total_finally(draft: Invoice, holdings: Holdings) -> Invoice:
    """A draft with its final totals; the coupons and balances that it uses are used up."""
    balances = holdings.balances.get((draft.customer_id, draft.currency.code), ())
    totalled = refresh(draft, draft.fees, _totals(draft, holdings, balances=balances))
    _use_coupons(totalled, holdings)
    _use_balances(totalled, holdings)
    return totalled


def _totals(draft: Invoice, holdings: Holdings, *, balances: Iterable[Balance]) -> Totals:
    applied = {
        applied_coupon.coupon.terms: applied_coupon.applied_coupon_id
        for applied_coupon in holdings.coupons.get(draft.customer_id, ())
        if applied_coupon.coupon.currency in {"", draft.currency.code}
    }
    totals = compute_totals(
        [fee.fee for fee in draft.fees], draft.currency, coupons=list(applied), credit_notes=list(balances)
    )
    credits_ = tuple(replace(credit, applied_coupon_id=applied[credit.coupon]) for credit in totals.coupons)
    return replace(totals, coupons=credits_)


def _use_coupons(invoice: Invoice, holdings: Holdings) -> None:
    taken = {credit.applied_coupon_id: credit.amount_cents for credit in invoice.totals.coupons if credit.amount_cents}
    held = holdings.coupons.get(invoice.customer_id, [])
    for index, applied in enumerate(held):
        if applied.applied_coupon_id in taken:
            terms = applied.coupon.terms.use(taken[applied.applied_coupon_id])
            held[index] = replace(applied, coupon=replace(applied.coupon, terms=terms))
            holdings.used_coupons[applied.applied_coupon_id] = held[index]


def _use_balances(invoice: Invoice, holdings: Holdings) -> None:
    used = {balance.balance_id: balance.amount_cents for balance in invoice.totals.credit_notes}
    key = (invoice.customer_id, invoice.currency.code)
    holdings.balances[key] = [
        replace(balance, amount_cents=balance.amount_cents - used.get(balance.balance_id, 0))
        for balance in holdings.balances.get(key, ())
    ]
    for balance_id, amount_cents in used.items():
        holdings.spent[balance_id] = holdings.spent.get(balance_id, 0) + amount_cents
