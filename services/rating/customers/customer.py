"""Customers: who is billed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from services.kernel.cadence import zone
from services.kernel.checks import Checks, inside
from services.kernel.ids import CustomerId
from services.kernel.money import CURRENCIES
from services.rating.organizations.organization import require_grace
from services.rating.shared.limits import (
    MAX_NAME,
    MAX_TAX_CODES,
    require_code,
    require_metadata,
    require_payment_term,
    require_text,
)

# RFC 5321: a path has at most 256 characters, two of which are angle brackets.
MAX_EMAIL = 254
# What fits above the lines of an invoice.
MAX_ADDRESS_LINES = 6
MAX_ADDRESS_LINE = 120
MAX_TAX_NUMBER = 60
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Customer:
    """Who is billed.

    Attributes:
        customer_id: its identity.
        external_id: the organization's own id for it.
        sequential_id: 1 for the organization's first customer.
        created_at, updated_at: when it was created and last changed.
        name: for people.
        email: mail address.
        currency: ISO 4217 code; empty until the first plan or invoice fixes it.
        timezone: IANA zone in which its days are counted; empty means the organization's.
        address_lines: postal address.
        country: ISO 3166 alpha-2 code.
        tax_identification_number: the tax office's number for it.
        invoice_grace_period_days: days a draft invoice stays open; None means the organization's.
        tax_codes: its taxes; empty means the organization's.
        metadata: free text by key.
        net_payment_term_days: days from issue until its invoices are due; None means the plan's or organization's.
        deleted_at: when it was deleted; None while it is billed.
    """

    customer_id: CustomerId
    external_id: str
    sequential_id: int
    created_at: datetime
    updated_at: datetime
    name: str = ""
    email: str = ""
    currency: str = ""
    timezone: str = ""
    address_lines: tuple[str, ...] = ()
    country: str = ""
    tax_identification_number: str = ""
    invoice_grace_period_days: int | None = None
    tax_codes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    net_payment_term_days: int | None = None
    deleted_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a customer that could not be billed or printed; the InvalidArgumentError names the fields."""
        with inside() as checks:
            checks(require_code, "external_id", self.external_id)
            checks(require_text, "name", self.name, MAX_NAME)
            checks(require_text, "tax_identification_number", self.tax_identification_number, MAX_TAX_NUMBER)
            checks(require_grace, "invoice_grace_period_days", self.invoice_grace_period_days)
            checks(require_payment_term, "net_payment_term_days", self.net_payment_term_days)
            self._check_formats(checks)
            self._check_lists(checks)

    def _check_formats(self, checks: Checks) -> None:
        if self.email and not (len(self.email) <= MAX_EMAIL and _EMAIL.fullmatch(self.email)):
            checks.refuse("email", "invalid_format", "is not a mail address")
        if self.currency and self.currency not in CURRENCIES:
            checks.refuse("currency", "value_is_invalid", "is not an ISO 4217 code")
        if self.timezone:
            checks(zone, self.timezone)
        if self.country and not _COUNTRY.fullmatch(self.country):
            checks.refuse("country", "value_is_invalid", "is not an ISO 3166 alpha-2 code")

    def _check_lists(self, checks: Checks) -> None:
        for name, entries, most in (
            ("address_lines", self.address_lines, MAX_ADDRESS_LINES),
            ("tax_codes", self.tax_codes, MAX_TAX_CODES),
        ):
            if len(entries) > most:
                checks.refuse(name, "value_is_invalid", f"are at most {most}")
        if len(set(self.tax_codes)) != len(self.tax_codes):
            checks.refuse("tax_codes", "value_already_exist", "name each once")
        for number, line in enumerate(self.address_lines[:MAX_ADDRESS_LINES]):
            checks(require_text, f"address_lines[{number}]", line, MAX_ADDRESS_LINE)
        checks(require_metadata, "metadata", self.metadata)
