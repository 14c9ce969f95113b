"""Organizations, the tenants, and the keys their callers present."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.kernel.cadence import zone
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId
from services.kernel.money import CURRENCIES
from services.rating.shared.limits import MAX_NAME, require_name, require_payment_term, require_text

# Longer than any quarter: a draft should be finalized while people still remember it.
MAX_GRACE_DAYS = 92
MAX_INVOICE_PREFIX = 10
DEFAULT_CURRENCY = "USD"
DEFAULT_TIMEZONE = "UTC"
DEFAULT_INVOICE_PREFIX = "FBX"

TOKEN_BYTES = 32
# 62 letters and digits, so that a double click selects the whole key.
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# 62**43 is just above 2**256, so every key has the same length.
_TOKEN_LENGTH = 43
# Prefix and six characters: enough to recognise a key, far too few to guess it.
HINT_LENGTH = 14
# A key that a person chose for development may be shorter than a generated one, but must not be guessable at once.
MIN_TOKEN = 16
MAX_TOKEN = 255


class DuplicateUsageEvents(StrEnum):
    """What happens with an event that is already stored with the same content."""

    ACCEPT = "accept"
    REJECT = "reject"


class LateUsageEvents(StrEnum):
    """What happens with an event that arrives after its period was invoiced."""

    ADJUST = "adjust"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Organization:
    """A business that bills its customers.

    Attributes:
        organization_id: its identity.
        name: for people.
        test_mode: whether its clock can be set; its keys then begin with `sk_test_`.
        default_currency: ISO 4217 code for customers without one.
        timezone: IANA zone for customers without one.
        invoice_grace_period_days: days a draft invoice stays open.
        duplicate_events: accept or reject.
        late_events: adjust or ignore.
        invoice_prefix: letters before the running number of an invoice.
        net_payment_term_days: days from issue until an invoice is due.
        created_at: when it was created.
    """

    organization_id: OrganizationId
    name: str
    test_mode: bool
    created_at: datetime
    default_currency: str = DEFAULT_CURRENCY
    timezone: str = DEFAULT_TIMEZONE
    invoice_grace_period_days: int = 0
    duplicate_events: DuplicateUsageEvents = DuplicateUsageEvents.ACCEPT
    late_events: LateUsageEvents = LateUsageEvents.ADJUST
    invoice_prefix: str = DEFAULT_INVOICE_PREFIX
    net_payment_term_days: int = 0

    def __post_init__(self) -> None:
        """Refuse settings with which no invoice could be made; the InvalidArgumentError names the fields."""
        prefix = self.invoice_prefix
        with inside() as checks:
            checks(require_name, "name", self.name)
            if self.default_currency not in CURRENCIES:
                checks.refuse("default_currency", "value_is_invalid", "is not an ISO 4217 code")
            checks(zone, self.timezone)
            checks(require_grace, "invoice_grace_period_days", self.invoice_grace_period_days)
            checks(require_payment_term, "net_payment_term_days", self.net_payment_term_days)
            if not (1 <= len(prefix) <= MAX_INVOICE_PREFIX and prefix.isascii() and prefix.isalnum()):
                what = f"has 1 to {MAX_INVOICE_PREFIX} letters or digits"
                checks.refuse("invoice_prefix", "value_is_invalid", what)


def require_grace(field: str, days: int | None) -> None:
    """Refuse a grace period that is too long; None means that another level decides."""
    if days is not None and not 0 <= days <= MAX_GRACE_DAYS:
        raise InvalidArgumentError.of_field(field, "value_is_invalid", f"is 0 to {MAX_GRACE_DAYS}")


class ApiKeyKind(StrEnum):
    """What a key may do: everything, or only what a browser may see."""

    SECRET = "secret"  # noqa: S105 - the word for a kind of key
    PUBLISHABLE = "publishable"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is stored of a key; the key itself is shown once.

    Attributes:
        api_key_id: its identity.
        organization_id: the organization it belongs to.
        kind: secret or publishable.
        hint: its first characters.
        name: for people.
        created_at: when it was made.
        revoked_at: when it was revoked; None while it works.
    """

    api_key_id: str
    organization_id: OrganizationId
    kind: ApiKeyKind
    hint: str
    name: str
    created_at: datetime
    revoked_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a name that is too long."""
        require_text("name", self.name, MAX_NAME)


def token_of(kind: ApiKeyKind, random: bytes, *, test_mode: bool) -> str:
    """The key made of `TOKEN_BYTES` random bytes: `sk_test_…`, `sk_live_…`, `pk_test_…` or `pk_live_…`."""
    number, digits = int.from_bytes(random, "big"), []
    for _ in range(_TOKEN_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return f"{'sk' if kind is ApiKeyKind.SECRET else 'pk'}_{'test' if test_mode else 'live'}_{''.join(digits)}"


def token_digest(token: str, pepper: str) -> bytes:
    """What is stored of a key: worthless to anybody who reads the table without knowing the pepper."""
    return hmac.new(pepper.encode(), token.encode(), hashlib.sha256).digest()
