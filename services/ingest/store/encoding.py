"""Entries of the shards' batches in protobuf's wire format, written by hand; the log stores them in the same format.

What a shard announces is stored in the commit that numbers it, and later sent as it is stored. So the wire format is
the storage format, and this is the only module below `convert` that knows messages. An entry reads back as
`UsageEventsAccepted(entries=[UsageEventEntry(…)])`; a test compares the bytes with protobuf's own. Writing by hand
costs a third of that, because the part that the entries of one place share comes from the route. Concatenated entries
are one batch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from decimal import Decimal

from google.protobuf import timestamp_pb2

from farebox.common.v1 import decimal_pb2
from farebox.ingest.v1 import domain_events_pb2 as pb
from services.ingest.domain.usage_event import MAX_ID_CHARACTERS
from services.ingest.store.shards import Batch
from services.kernel.ids import OrganizationId
from services.kernel.money import plain

_ENTRIES = b"\x22"  # UsageEventsAccepted.entries = 4
_ACCEPTED, _VOIDED = pb.UsageEventEntry.KIND_ACCEPTED, pb.UsageEventEntry.KIND_VOIDED
_KEY = b"\x1a\x10"  # event_key = 3, 16 bytes
_OCCURRED_AT = b"\x42"  # occurred_at = 8
_RECEIVED_AT = b"\x4a"  # received_at = 9
_PROPERTIES = b"\x52"  # properties = 10
_AMOUNT = b"\x5a"  # precise_total_amount_cents = 11
_REVISION = b"\x60"  # catalog_revision = 12

# A varint has seven bits per byte; the eighth says whether more bytes follow.
_GROUP, _MORE = 0x7F, 0x80
# Shorter lengths are looked up in a table: nearly all of them.
_SMALL = 1 << 14
_MILLION = 1_000_000
# Two groups of a number.
_PAIR = (1 << 14) - 1


def varint(number: int) -> bytes:
    """A non-negative number in base 128, least significant group first."""
    groups = bytearray()
    while number > _GROUP:
        groups.append(number & _GROUP | _MORE)
        number >>= 7
    groups.append(number)
    return bytes(groups)


_VARINTS = [varint(number) for number in range(_SMALL)]
# The nanoseconds of an instant in three look-ups: tag and two groups, two groups, the last one. This takes 0.2 µs less
# than a loop.
_NEXT = [bytes((pair & _GROUP | _MORE, pair >> 7 | _MORE)) for pair in range(_PAIR + 1)]
_FIRST = [b"\x10" + groups for groups in _NEXT]
_LAST = [bytes((group,)) for group in range(4)]
_NANOS_BYTES = 6
# transaction_id = 4 and its length: at most 255 characters of four bytes each.
_IDS = [b"\x22" + length for length in _VARINTS[: 4 * MAX_ID_CHARACTERS + 1]]
# Tag and length of a small entry.
_ENTRY_HEADS = [_ENTRIES + length for length in _VARINTS]


def _length(size: int) -> bytes:
    return _VARINTS[size] if size < _SMALL else varint(size)


def entry_head(
    organization: OrganizationId, customer: str, subscription_id: str, code: str, *, is_void: bool = False
) -> bytes:
    """The part that the entries of one place share; `is_void` for entries that take events back."""
    return pb.UsageEventEntry(
        organization_id=organization,
        kind=_VOIDED if is_void else _ACCEPTED,
        external_customer_id=customer,
        subscription_id=subscription_id,
        code=code,
    ).SerializeToString()


def write_entries(
    revision: int,
    received_us: int,
    heads: Sequence[bytes],
    keys: Sequence[bytes],
    transaction_ids: Sequence[bytes],
    occurred_us: Sequence[int],
    properties: Sequence[bytes],
    amounts: Sequence[Decimal | None],
) -> list[bytes]:
    """The entries of events that were received together.

    Args:
        revision: the revision of the catalog at which they were found billable; below 1 for events that are voided.
        received_us: when the log received them.
        heads: the results of `entry_head` for their places.
        keys: their identities in the log.
        transaction_ids: the senders' identities in UTF-8.
        occurred_us: when they occurred.
        properties: the senders' bytes.
        amounts: exact prices.
    """
    shared = _moment(_RECEIVED_AT, received_us) + (_REVISION + varint(revision) if revision > 0 else b"")
    # The bytes before the key, by head; a batch has few heads.
    begun = {head: head + shared + _KEY for head in set(heads)}
    # A function finds its local names faster than those of the module.
    join, small, lengths, whole_seconds = b"".join, _SMALL, _VARINTS, _whole_seconds
    first, following, last = _FIRST, _NEXT, _LAST
    columns = zip(heads, keys, transaction_ids, occurred_us, properties, amounts, strict=True)
    bodies = [
        join(
            (
                begun[head],
                key,
                _IDS[len(text)],
                text,
                # Like _moment, without the 0.1 µs of a call.
                whole_seconds(_OCCURRED_AT, at_us // _MILLION),
                first[(nanos := at_us % _MILLION * 1000) & _PAIR],
                following[nanos >> 14 & _PAIR],
                last[nanos >> 28],
                _PROPERTIES,
                lengths[len(raw)] if len(raw) < small else varint(len(raw)),
                raw,
                b"" if amount is None else _amount(amount),
            )
        )
        for head, key, text, at_us, raw, amount in columns
    ]
    return [(_ENTRY_HEADS[len(body)] if len(body) < small else _ENTRIES + varint(len(body))) + body for body in bodies]


@functools.lru_cache(maxsize=4096)
def _whole_seconds(tag: bytes, seconds: int) -> bytes:
    """A Timestamp up to its nanoseconds, which take another _NANOS_BYTES."""
    whole = timestamp_pb2.Timestamp(seconds=seconds).SerializeToString()
    return tag + _length(len(whole) + _NANOS_BYTES) + whole


def _moment(tag: bytes, microseconds: int) -> bytes:
    """A Timestamp with its tag and length. The nanoseconds take five groups, the last of which may be zeros."""
    seconds, rest = divmod(microseconds, _MILLION)
    nanos = rest * 1000
    return b"".join(
        (_whole_seconds(tag, seconds), _FIRST[nanos & _PAIR], _NEXT[nanos >> 14 & _PAIR], _LAST[nanos >> 28])
    )


def _amount(amount: Decimal) -> bytes:
    message = decimal_pb2.Decimal(value=plain(amount)).SerializeToString()
    return _AMOUNT + _length(len(message)) + message


def announcement(batches: Sequence[Batch]) -> bytes:
    """The message that carries consecutive batches of one shard; concatenated entries are repeated fields."""
    head = pb.UsageEventsAccepted(
        shard=batches[0].shard,
        first_number=batches[0].number,
        last_number=batches[-1].number,
        entry_counts=[batch.entry_count for batch in batches],
    )
    return head.SerializeToString() + b"".join([batch.payload for batch in batches])
