"""Answers kept for those who repeat a request with the same `Idempotency-Key` (ADR 19)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import uuid_or_none

# Longer than nearly every call. If the first is still at work then, a repeat starts beside it, and the commands below,
# whose identities are the same, make sure that the work is done once.
CLAIM = timedelta(seconds=30)
# As long as the commands remember their requests (chassis.idempotency.KEEP), so that there is one promise.
KEEP = timedelta(days=30)
# Our longest route has less than a third.
MAX_ROUTE = 255
# What the gateway accepts as a key (gateway/call.py).
MAX_KEY_BYTES = 255
# SHA-256.
DIGEST_BYTES = 32
# An answer to a POST describes one thing; an invoice of two thousand fees fits.
MAX_CONTENT_BYTES = 1024 * 1024
# Our answers have two or three further headers.
MAX_HEADERS = 20
_STATUSES = range(200, 400)


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """What a repeat is recognized by, within an organization.

    Attributes:
        route: the template of the path.
        key: as the caller sent it.
    """

    route: str
    key: str

    def __post_init__(self) -> None:
        """Refuse what is no key; the InvalidArgumentError names the fields."""
        with inside("key") as checks:
            if not 1 <= len(self.route) <= MAX_ROUTE:
                checks.refuse("route", "value_is_invalid", f"has 1 to {MAX_ROUTE} characters")
            if not 1 <= len(self.key.encode()) <= MAX_KEY_BYTES:
                checks.refuse("key", "value_is_invalid", f"has 1 to {MAX_KEY_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to do the work of a key.

    Attributes:
        key: the key.
        payload_digest: SHA-256 of what is asked.
        attempt_id: the identity of this try.
    """

    key: AnswerKey
    payload_digest: bytes
    attempt_id: str

    def __post_init__(self) -> None:
        """Refuse what is no attempt; the InvalidArgumentError names the fields."""
        with inside() as checks:
            if len(self.payload_digest) != DIGEST_BYTES:
                checks.refuse("payload_digest", "invalid_format", f"has {DIGEST_BYTES} bytes")
            checks(require_attempt_id, self.attempt_id)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it was sent.

    Attributes:
        status: the HTTP status of a success.
        media_type: the media type of the content.
        headers: further headers, by their names.
        content: the bytes of the body.
    """

    status: int
    media_type: str
    headers: Mapping[str, str]
    content: bytes

    def __post_init__(self) -> None:
        """Refuse what is not kept; the InvalidArgumentError names the fields."""
        with inside("answer") as checks:
            if self.status not in _STATUSES:
                checks.refuse("status", "value_is_invalid", "only successes are kept")
            if len(self.content) > MAX_CONTENT_BYTES:
                checks.refuse("content", "value_is_too_long", f"has at most {MAX_CONTENT_BYTES} bytes")
            if len(self.headers) > MAX_HEADERS:
                checks.refuse("headers", "value_is_out_of_range", f"are at most {MAX_HEADERS}")


class KeyState(Enum):
    """What became of a claim that found no answer."""

    CLAIMED = "claimed"
    IN_PROGRESS = "in_progress"


def require_attempt_id(attempt_id: str) -> None:
    """Refuse an attempt without an identity."""
    if uuid_or_none(attempt_id) is None:
        raise InvalidArgumentError.of_field("attempt_id", "invalid_format", "is not a Farebox id")
