"""The identity of an event: a 16-byte key of (organization, transaction_id), and a 16-byte hash of its content.

For all time the key decides which events are the same, so it depends on nothing but the identity: never on a time that
the server or the sender gave the event. The SDKs' own ids are UUIDv7 and carry the time they were made in their first
48 bits. Their keys begin with those bits, so that new keys lie side by side in the index and a large index does not
slow the log down. Every other id gets a plain hash, in a range of its own (highest bit set).
"""

from __future__ import annotations

import functools
import uuid
import zlib
from binascii import a2b_hex
from collections.abc import Sequence
from decimal import Decimal
from hashlib import blake2b

from services.ingest.domain.usage_event import UsageEvent
from services.kernel.ids import OrganizationId
from services.kernel.money import plain

KEY_BYTES = 16
LOWEST_KEY = uuid.UUID(int=0)
# The first key of the hashed ids; a UUIDv7 would reach it in the year 6429.
FIRST_HASHED_KEY = b"\x80" + bytes(15)
_TIME_BYTES = 6
_HASH_BYTES = KEY_BYTES - _TIME_BYTES
_UUID_BYTES = 36
# The head of a UUIDv7, up to its version, which includes the time: `01234567-89ab-7`.
_HEAD_BYTES = 15


# A process sees the same organizations all day.
@functools.lru_cache(maxsize=4096)
def organization_bytes(organization: OrganizationId) -> bytes:
    """The 16 bytes of an organization's id."""
    return uuid.UUID(organization).bytes


def event_key(organization: OrganizationId, transaction_id: bytes) -> bytes:
    """The identity of an event in the log.

    Args:
        organization: the organization whose event it is.
        transaction_id: the sender's identity of the event in UTF-8; case matters.
    """
    return event_keys(organization, [transaction_id])[0]


def event_keys(organization: OrganizationId, transaction_ids: Sequence[bytes]) -> list[bytes]:
    """The identities of many events of one organization; see `event_key`."""
    prefix = organization_bytes(organization)
    # Cut by a slice: passing a digest_size costs the constructor 0.1 µs.
    digests = [blake2b(prefix + transaction_id).digest() for transaction_id in transaction_ids]
    moments = [
        _made_at(transaction_id[:_HEAD_BYTES]) if len(transaction_id) == _UUID_BYTES else None
        for transaction_id in transaction_ids
    ]
    return [
        moment + digest[:_HASH_BYTES] if moment else bytes((digest[0] | 0x80,)) + digest[1:KEY_BYTES]
        for moment, digest in zip(moments, digests, strict=True)
    ]


# The ids of a batch were made within a few milliseconds of each other: a look-up takes 0.15 µs less than reading each.
@functools.lru_cache(maxsize=4096)
def _made_at(id_head: bytes) -> bytes | None:
    """The 48 time bits of a UUIDv7, from its first 15 characters; None if it turns out not to be one."""
    if id_head[8:9] != b"-" or id_head[13:] != b"-7":
        return None
    try:
        moment = a2b_hex(id_head[:8] + id_head[9:13])
    except ValueError:
        return None
    # The highest bit belongs to the hashed range.
    return moment if moment < FIRST_HASHED_KEY else None


def content_salt(external_customer_id: str, external_subscription_id: str, code: str) -> bytes:
    """The part of the content that all events of one place (customer, subscription, code) share."""
    return f"\0{external_customer_id}\0{external_subscription_id}\0{code}\0".encode()


def content_hash(transaction_id: bytes, salt: bytes, properties: bytes, amount: Decimal | None) -> bytes:
    """A hash of an event's content without its time: a retry may repeat the time or leave it out (see `same_time`).

    The transaction_id is part of the content, so that two ids with the same key (2^-80 within a millisecond) are a
    conflict and never a silent duplicate.

    Args:
        transaction_id: the sender's identity of the event in UTF-8.
        salt: the salt of the event's place; see `content_salt`.
        properties: the sender's bytes.
        amount: the exact price, if any.
    """
    return content_hashes([transaction_id], [salt], [properties], [amount])[0]


def content_hashes(
    transaction_ids: Sequence[bytes],
    salts: Sequence[bytes],
    properties: Sequence[bytes],
    amounts: Sequence[Decimal | None],
) -> list[bytes]:
    """The content hashes of many events; see `content_hash`."""
    return [
        blake2b(text + salt + raw if amount is None else text + salt + plain(amount).encode() + b"\0" + raw).digest()[
            :KEY_BYTES
        ]
        for text, salt, raw, amount in zip(transaction_ids, salts, properties, amounts, strict=True)
    ]


def same_time(sent_us: int | None, stored_us: int, *, is_stored_given: bool) -> bool:
    """Whether a retry agrees with the stored time. A time that the server filled in is not part of the content.

    Args:
        sent_us: the time in the retry; None if it has none.
        stored_us: the stored time.
        is_stored_given: whether the first sender gave `stored_us`; otherwise the server filled it in.
    """
    return sent_us is None or not is_stored_given or sent_us == stored_us


def with_content_of(event: UsageEvent, *, properties: bytes, amount: Decimal | None) -> bytes:
    """The hash of `event` with other properties and amount: equal to the stored hash if everything else is the same."""
    salt = content_salt(event.external_customer_id, event.external_subscription_id, event.code)
    return content_hash(event.transaction_id.encode(), salt, properties, amount)


def shard_of(organization: OrganizationId, external_customer_id: str, shard_count: int) -> int:
    """The shard that carries a customer's events; it never changes."""
    return zlib.crc32(external_customer_id.encode(), zlib.crc32(organization_bytes(organization))) % shard_count
