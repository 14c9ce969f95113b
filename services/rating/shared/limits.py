"""How long texts may be, and the checks for it; every limit is explained here."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError

# Codes and external ids are keys of indexes and parts of page tokens; other systems of this kind allow as much.
MAX_CODE = 255
# Names are printed on one line of an invoice.
MAX_NAME = 255
# A paragraph for people; no program reads it.
MAX_DESCRIPTION = 2000
# More taxes than any country has; limited so that a fee can explain itself on one page.
MAX_TAX_CODES = 20
# Ten billion in a currency of two decimals; a higher price is a typing mistake.
MAX_AMOUNT_CENTS = 10**12
# Days from issue until an invoice is due; nobody grants more than a year.
MAX_PAYMENT_TERM_DAYS = 365


# Free text by key, for the organization's own use: as much as fits on a page.
MAX_METADATA = 50
MAX_METADATA_KEY = 100
MAX_METADATA_VALUE = 500


def require_metadata(field: str, metadata: Mapping[str, str]) -> None:
    """Refuse metadata with too many keys, or with keys or texts that are too long."""
    with inside() as checks:
        if len(metadata) > MAX_METADATA:
            checks.refuse(field, "value_is_invalid", f"are at most {MAX_METADATA}")
        for key, text in islice(metadata.items(), MAX_METADATA):
            checks(require_text, field, key, MAX_METADATA_KEY)
            checks(require_text, f"{field}.{key[:MAX_METADATA_KEY]}", text, MAX_METADATA_VALUE)


def require_code(field: str, code: str) -> None:
    """Refuse a code or external id that is empty, too long, or has invisible characters."""
    if not code:
        raise InvalidArgumentError.of_field(field, "value_is_mandatory", "is required")
    require_text(field, code, MAX_CODE)


def require_name(field: str, name: str) -> None:
    """Refuse a name that is empty or does not fit on a line."""
    if not name:
        raise InvalidArgumentError.of_field(field, "value_is_mandatory", "is required")
    require_text(field, name, MAX_NAME)


def require_text(field: str, text: str, most: int) -> None:
    """Refuse text that is too long or has control characters other than line ends and tabs."""
    if len(text) > most:
        raise InvalidArgumentError.of_field(field, "value_is_too_long", f"has at most {most} characters")
    if any(ord(character) < ord(" ") and character not in "\n\r\t" for character in text):
        raise InvalidArgumentError.of_field(field, "invalid_format", "has control characters")


def require_cents(field: str, amount_cents: int) -> None:
    """Refuse an amount in minor units that is below zero or absurdly high."""
    if not 0 <= amount_cents <= MAX_AMOUNT_CENTS:
        raise InvalidArgumentError.of_field(field, "value_is_out_of_range", f"is 0 to {MAX_AMOUNT_CENTS}")


def require_payment_term(field: str, days: int | None) -> None:
    """Refuse a payment term that nobody grants; None means that another level decides."""
    if days is not None and not 0 <= days <= MAX_PAYMENT_TERM_DAYS:
        raise InvalidArgumentError.of_field(field, "value_is_invalid", f"is 0 to {MAX_PAYMENT_TERM_DAYS}")
