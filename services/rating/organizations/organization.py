"""Organizations, the tenants, and the keys their callers present."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.kernel.cadence import zone
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError, PermissionDeniedError
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
# More than there are scopes; a longer list repeats itself.
MAX_SCOPES = 50
# What a scope looks like; which there are is the gateway's matter (gateway/auth/scopes.py).
_SCOPE = re.compile(r"[a-z_]{1,40}(:[a-z_]{1,40})?")
# A key that shall work longer than this is one without an end.
MAX_KEY_LIFE = timedelta(days=3660)
# Longer than any roll-out takes; who needs longer makes a second key.
MAX_OVERLAP = timedelta(days=30)
# How exactly the last use of a key is known: a call each millisecond must not be a write each millisecond.
USE_RESOLUTION = timedelta(minutes=1)


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
        scopes: what a restricted key may do, sorted; empty for everything that its kind may.
        expires_at: when it stops working by itself, by the machine's clock; None if never.
        last_used_at: when it was last used, to `USE_RESOLUTION`; None if never.
        replaces_id: the key that it replaced; None if it replaced none.
    """

    api_key_id: str
    organization_id: OrganizationId
    kind: ApiKeyKind
    hint: str
    name: str
    created_at: datetime
    revoked_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    replaces_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse a name that is too long and scopes that are none; the InvalidArgumentError names the fields."""
        with inside() as checks:
            checks(require_text, "name", self.name, MAX_NAME)
            checks(_require_scopes, self.kind, self.scopes)

    def is_working(self, now: datetime) -> bool:
        """Whether it opens the door at an instant of the machine's clock."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def is_use_news(self, now: datetime) -> bool:
        """Whether a use at this instant is worth noting."""
        return self.last_used_at is None or now - self.last_used_at >= USE_RESOLUTION

    def replaced_at(self, instant: datetime) -> ApiKey:
        """The same key, which works until an instant at most."""
        ends = instant if self.expires_at is None else min(instant, self.expires_at)
        return replace(self, expires_at=ends)


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a new key shall be.

    Attributes:
        kind, name, scopes, expires_at, replaces_id: see `ApiKey`.
        within: what the maker of the key may do itself; empty if that is everything.
    """

    kind: ApiKeyKind
    name: str
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    replaces_id: str | None = None
    within: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a key that may do more than its maker."""
        is_narrow = self.kind is ApiKeyKind.PUBLISHABLE or (self.scopes and self.within.issuperset(self.scopes))
        if self.within and not is_narrow:
            raise PermissionDeniedError(
                "API_KEY_BEYOND_SCOPES", "a restricted key makes and replaces only keys with some of its own scopes"
            )


@dataclass(frozen=True, slots=True)
class Rotation:
    """How a key is replaced.

    Attributes:
        api_key_id: the key.
        overlap: for how long it works on.
        expires_at: when the new one stops working; None if never.
        within: see `KeyTerms`.
    """

    api_key_id: str
    overlap: timedelta
    expires_at: datetime | None
    within: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse an overlap that is too long; the InvalidArgumentError names the field."""
        if not timedelta(0) <= self.overlap <= MAX_OVERLAP:
            what = f"is 0 to {MAX_OVERLAP // timedelta(seconds=1)}"
            raise InvalidArgumentError.of_field("overlap_seconds", "value_is_out_of_range", what)


def _require_scopes(kind: ApiKeyKind, scopes: tuple[str, ...]) -> None:
    if scopes and kind is ApiKeyKind.PUBLISHABLE:
        raise InvalidArgumentError.of_field("scopes", "value_is_invalid", "belong to secret keys")
    if len(scopes) > MAX_SCOPES:
        raise InvalidArgumentError.of_field("scopes", "value_is_out_of_range", f"are at most {MAX_SCOPES}")


def scopes_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Scopes as they are stored, sorted and each once; the InvalidArgumentError names every text that is none."""
    with inside() as checks:
        for place, text in enumerate(texts[:MAX_SCOPES]):
            if not _SCOPE.fullmatch(text):
                checks.refuse(f"scopes[{place}]", "invalid_format", "is no scope")
    return tuple(sorted(set(texts)))


def require_expiry(expires_at: datetime | None, now: datetime) -> None:
    """Refuse an end that has passed or is too far away; None means that there is none."""
    if expires_at is not None and not now < expires_at <= now + MAX_KEY_LIFE:
        detail = f"is in the future, at most {MAX_KEY_LIFE.days} days ahead"
        raise InvalidArgumentError.of_field("expires_at", "value_is_out_of_range", detail)


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
