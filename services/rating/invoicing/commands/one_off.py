"""One-off invoices: items that a person has entered, invoiced at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.kernel.cadence import local_date
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import FeeId, InvoiceId, OrganizationId, new_id
from services.kernel.money import ZERO, Currency, currency
from services.kernel.period import Period
from services.rating.catalog.store.add_ons import add_ons_by_code
from services.rating.catalog.store.taxes import TaxLevels, tax_levels
from services.rating.customers import store as customers
from services.rating.customers.commands import fix_currency
from services.rating.customers.customer import Customer
from services.rating.deps import Deps
from services.rating.invoicing.commands.finalize import finalize
from services.rating.invoicing.commands.total import Holdings
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.invoice import Invoice, InvoiceKind, first_given
from services.rating.invoicing.invoice_fee import InvoiceFee
from services.rating.invoicing.store import invoices as store
from services.rating.organizations import store as organizations
from services.rating.organizations.clock_store import now_of
from services.rating.organizations.organization import Organization
from services.rating.pricing.catalog import AddOn
from services.rating.pricing.charges import Line, Priced
from services.rating.pricing.charges.checks import require_amount
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.tax import Tax
from services.rating.shared.limits import MAX_NAME, require_text

# As many items as a person enters in one go.
MAX_ITEMS = 100
# A price beyond a hundred thousand million is a typing mistake, and sums must fit into 64 bits.
MAX_UNIT_CENTS = 10**13
# How many characters of a code an error message repeats.
_SHOWN = 80
# Stand-in for an add-on, so that what an item says itself can be checked before its add-on is known.
ANY_ADD_ON = AddOn("", "any", "any", 0, "USD", datetime.min.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class OneOffItem:
    """An item of a one-off invoice.

    Attributes:
        name: its name on the invoice; empty means the add-on's.
        units: how many units.
        unit_amount_cents: the price of one unit, in minor units; None means the add-on's.
        tax_codes: its taxes; empty means the add-on's, otherwise the customer's.
        code: the organization's own code, possibly that of an add-on.
    """

    name: str
    units: Decimal
    unit_amount_cents: int | None
    tax_codes: tuple[str, ...] = ()
    code: str = ""

    def completed(self, add_on: AddOn | None) -> OneOffItem:
        """The item with what it leaves to its add-on, if there is one."""
        if add_on is None:
            return replace(self, name=self.name or self.code)
        return replace(
            self,
            name=self.name or add_on.invoice_display_name or add_on.name,
            unit_amount_cents=add_on.amount_cents if self.unit_amount_cents is None else self.unit_amount_cents,
            tax_codes=self.tax_codes or add_on.tax_codes,
        )


def create_one_off_invoice(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    external_customer_id: str,
    currency_code: str,
    items: Sequence[OneOffItem],
) -> Invoice:
    """Invoice items now; the invoice is finalized at once.

    Raises:
        NotFoundError: `CUSTOMER_UNKNOWN`.
        InvalidArgumentError: the items or the currency are wrong.
        FailedPreconditionError: `CURRENCY_MISMATCH`, the customer is billed in another currency.
    """
    add_ons = add_ons_by_code(tx, organization, {item.code for item in items if item.code})
    items = [item.completed(add_ons.get(item.code)) for item in items]
    check_items(items)
    seller = organizations.organization(tx, organization)
    customer = customers.customer(tx, organization, external_customer_id, lock=True)
    at = now_of(deps, tx, organization)
    priced_in = next((add_on.currency for add_on in add_ons.values()), seller.default_currency)
    in_currency = currency(currency_code or customer.currency or priced_in)
    _require_currency(items, add_ons, in_currency)
    customer = fix_currency(deps, tx, organization, customer, in_currency.code, at)
    draft = _draft(seller, customer, in_currency, at)
    named = {code for item in items for code in item.tax_codes}
    taxes = tax_levels(tx, organization, named | set(customer.tax_codes))
    _require_taxes(items, taxes)
    fees = [
        _item_fee(index, item, taxes.of(item.tax_codes, customer.tax_codes), draft) for index, item in enumerate(items)
    ]
    holdings = Holdings.of(tx, organization, [customer.customer_id], at)
    (invoice,) = finalize(tx, seller, [replace(draft, fees=tuple(fees))], holdings, at)
    store.insert(tx, [invoice])
    holdings.save(tx, organization, at)
    deps.announce(tx, InvoiceChanged(organization, invoice))
    return invoice


def check_items(items: Sequence[OneOffItem]) -> None:
    """Refuse items that no invoice can have.

    Raises:
        InvalidArgumentError: names every wrong field.
    """
    if not 1 <= len(items) <= MAX_ITEMS:
        raise InvalidArgumentError.of_field("items", "value_is_invalid", f"has 1 to {MAX_ITEMS} entries")
    with inside() as checks:
        for index, item in enumerate(items):
            path = f"items[{index}]"
            if item.unit_amount_cents is None:
                field = f"{path}.code" if item.code else f"{path}.unit_amount_cents"
                checks.refuse(field, "value_is_invalid", f"is needed: no add-on has the code {item.code[:_SHOWN]!r}")
                continue
            if not item.name:
                checks.refuse(f"{path}.name", "value_is_mandatory", "is required")
            checks(require_text, f"{path}.name", item.name, MAX_NAME)
            checks(require_amount, f"{path}.units", item.units)
            if not 0 <= item.unit_amount_cents <= MAX_UNIT_CENTS:
                checks.refuse(f"{path}.unit_amount_cents", "value_is_out_of_range", f"is 0 to {MAX_UNIT_CENTS}")


def _require_currency(items: Sequence[OneOffItem], add_ons: Mapping[str, AddOn], in_currency: Currency) -> None:
    """Refuse an add-on that is priced in another currency than the invoice; nothing is converted."""
    with inside() as checks:
        for index, item in enumerate(items):
            add_on = add_ons.get(item.code)
            if add_on is not None and add_on.currency != in_currency.code:
                checks.refuse(
                    f"items[{index}].code",
                    "value_is_invalid",
                    f"is priced in {add_on.currency}, not {in_currency.code}",
                )


def _require_taxes(items: Sequence[OneOffItem], taxes: TaxLevels) -> None:
    with inside() as checks:
        for index, item in enumerate(items):
            unknown = [code for code in item.tax_codes if code not in taxes.by_code]
            if unknown:
                checks.refuse(f"items[{index}].tax_codes", "value_is_invalid", f"{', '.join(unknown)}: not known")


def _item_fee(index: int, item: OneOffItem, taxes: tuple[Tax, ...], draft: Invoice) -> InvoiceFee:
    unit_amount = draft.currency.to_major(item.unit_amount_cents or 0)
    line = Line(item.name, item.units, unit_amount, ZERO, item.units * unit_amount)
    period = Period(draft.created_at, draft.created_at)
    fee = Fee.of(FeeKind.ADD_ON, period, Priced.of((line,), item.units), draft.currency)
    named = replace(fee, description=item.name, taxes=taxes, filter_key=f"{index}:{item.code}")
    return InvoiceFee(FeeId(new_id()), named)


def _draft(seller: Organization, customer: Customer, in_currency: Currency, at: datetime) -> Invoice:
    timezone = customer.timezone or seller.timezone
    issued_on = local_date(at, timezone)
    term_days = first_given(customer.net_payment_term_days, seller.net_payment_term_days)
    return Invoice(
        invoice_id=InvoiceId(new_id()),
        organization_id=seller.organization_id,
        kind=InvoiceKind.ONE_OFF,
        customer=customer,
        currency=in_currency,
        timezone=timezone,
        created_at=at,
        grace_ends_at=at,
        issuing_date=issued_on,
        payment_due_date=issued_on + timedelta(days=term_days),
    )
