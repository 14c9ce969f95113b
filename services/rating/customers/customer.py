"""Customers: who is billed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from services.kernel.cadence import zone
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import CustomerId
from services.kernel.money import CURRENCIES
from services.rating.organizations.organization import MAX_GRACE_DAYS
from services.rating.shared.limits import MAX_CODE, MAX_NAME, require_code, require_text

# RFC 5321: a path has at most 256 characters, two of them angle brackets.
MAX_EMAIL = 254
# What fits above the lines of an invoice.
MAX_ADDRESS_LINES = 6
MAX_ADDRESS_LINE = 120
MAX_TAX_NUMBER = 60
MAX_TAX_CODES = 20
MAX_METADATA = 50
MAX_METADATA_KEY = 100
MAX_METADATA_VALUE = 500
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
        currency: ISO 4217 code; empty until the first plan fixes it.
        timezone: IANA zone its days are counted in; empty for the organization's.
        address_lines: postal address.
        country: ISO 3166 alpha-2 code.
        tax_identification_number: the tax office's number for it.
        invoice_grace_period_days: None for the organization's.
        tax_codes: its taxes; empty for the organization's.
        metadata: free text by key.
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

    def __post_init__(self) -> None:
        """Refuse what could not be billed or printed; InvalidArgumentError names the field."""
        require_code("external_id", self.external_id)
        require_text("name", self.name, MAX_NAME)
        require_text("tax_identification_number", self.tax_identification_number, MAX_TAX_NUMBER)
        self._check_formats()
        days = self.invoice_grace_period_days
        if days is not None and not 0 <= days <= MAX_GRACE_DAYS:
            raise _invalid("invoice_grace_period_days", f"is 0 to {MAX_GRACE_DAYS}")
        self._check_lists()

    def _check_formats(self) -> None:
        if self.email and not (len(self.email) <= MAX_EMAIL and _EMAIL.fullmatch(self.email)):
            raise _invalid("email", "is not a mail address", "invalid_format")
        if self.currency and self.currency not in CURRENCIES:
            raise _invalid("currency", "is not an ISO 4217 code")
        if self.timezone:
            zone(self.timezone)
        if self.country and not _COUNTRY.fullmatch(self.country):
            raise _invalid("country", "is not an ISO 3166 alpha-2 code")

    def _check_lists(self) -> None:
        if len(self.address_lines) > MAX_ADDRESS_LINES:
            raise _invalid("address_lines", f"are at most {MAX_ADDRESS_LINES}")
        for number, line in enumerate(self.address_lines):
            require_text(f"address_lines[{number}]", line, MAX_ADDRESS_LINE)
        if len(self.tax_codes) > MAX_TAX_CODES:
            raise _invalid("tax_codes", f"are at most {MAX_TAX_CODES}")
        if len(self.metadata) > MAX_METADATA:
            raise _invalid("metadata", f"has at most {MAX_METADATA} entries")
        for key, text in self.metadata.items():
            require_text("metadata", key, MAX_METADATA_KEY)
            require_text(f"metadata.{key[:MAX_CODE]}", text, MAX_METADATA_VALUE)


def _invalid(name: str, description: str, reason: str = "value_is_invalid") -> InvalidArgumentError:
    return InvalidArgumentError.of_field(name, reason, description)
