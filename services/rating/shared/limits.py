"""How long texts may be, and the checks that say so; every limit has its reason here."""

from __future__ import annotations

from services.kernel.errors import InvalidArgumentError

# Codes and external ids are keys of indexes and parts of page tokens; peers allow as much.
MAX_CODE = 255
# Names are printed on one line of an invoice.
MAX_NAME = 255
# A paragraph for people; nothing reads it but they.
MAX_DESCRIPTION = 2000


def require_code(field: str, code: str) -> None:
    """Refuse a code or external id that is empty, too long, or has characters that no one can see."""
    if not code:
        raise InvalidArgumentError.of_field(field, "value_is_mandatory", "is required")
    require_text(field, code, MAX_CODE)


def require_text(field: str, text: str, most: int) -> None:
    """Refuse text that is too long or has control characters other than line ends and tabs."""
    if len(text) > most:
        raise InvalidArgumentError.of_field(field, "value_is_too_long", f"has at most {most} characters")
    if any(ord(each) < ord(" ") and each not in "\n\r\t" for each in text):
        raise InvalidArgumentError.of_field(field, "invalid_format", "has control characters")
