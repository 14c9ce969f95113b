"""Rows of `usage_events` in PostgreSQL's binary COPY format, built as bytes.

Writing a row through the driver's adaptation costs as much as the database's own work; joining prepared pieces costs a
quarter of it. A row is `commit_id` (known at the commit) + the columns that every event of one customer, subscription
and code shares (`place_columns`, kept in the catalog cache) + what is the event's own.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable
from decimal import Decimal

from psycopg.types.numeric import DecimalBinaryDumper

from services.ingest.domain.identity import organization_bytes
from services.ingest.domain.usage_events import UsageEvents
from services.kernel.ids import OrganizationId

COLUMNS = (
    "commit_id",
    "organization_id",
    "shard",
    "subscription_id",
    "external_customer_id",
    "external_subscription_id",
    "code",
    "event_key",
    "content_hash",
    "occurred_at",
    "occurred_at_given",
    "received_at",
    "transaction_id",
    "properties",
    "precise_total_amount_cents",
)
COPY_SQL = f"COPY usage_events ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"

_FILE_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_FILE_TRAILER = b"\xff\xff"
_ROW_HEAD = struct.Struct("!hiq")
_OWN = struct.Struct("!i16si16siq")
_TAIL = struct.Struct("!i?iq")
_PLACE = struct.Struct("!i16sih")
_LENGTH = struct.Struct("!i")
_NULL = b"\xff\xff\xff\xff"
# Shorter lengths are looked up in a table: nearly all of them, and always those of transaction ids (255 characters in
# UTF-8).
_SMALL = 1 << 12
_LENGTHS = [_LENGTH.pack(number) for number in range(_SMALL)]
# PostgreSQL counts microseconds from 2000-01-01.
_EPOCH_OFFSET_US = 946_684_800 * 1_000_000


def place_columns(
    organization: OrganizationId,
    shard: int,
    subscription_id: str | None,
    customer: str,
    external_subscription_id: str,
    code: str,
) -> bytes:
    """The columns that the events of one place share.

    Args:
        organization: the organization whose events they are.
        shard: the shard that carries them.
        subscription_id: Farebox id of the subscription they count for; None if they cannot be billed.
        customer: the organization's id of the customer.
        external_subscription_id: as their sender names it.
        code: the metric's code.
    """
    counted_for = _NULL if subscription_id is None else _field(uuid.UUID(subscription_id).bytes)
    texts = b"".join(_field(text.encode()) for text in (customer, external_subscription_id, code))
    return _PLACE.pack(16, organization_bytes(organization), 2, shard) + counted_for + texts


def write_rows(
    received_us: int,
    events: UsageEvents,
    transaction_ids: Iterable[bytes],
    places: Iterable[bytes],
    keys: Iterable[bytes],
    content_hashes: Iterable[bytes],
    occurred_us: Iterable[int],
) -> list[bytes]:
    """The rows, without their first column, of events that were received together.

    Args:
        received_us: when the log received them.
        events: the events.
        transaction_ids: the senders' identities in UTF-8.
        places: columns made by `place_columns`, one for each event.
        keys: 16 bytes each.
        content_hashes: 16 bytes each.
        occurred_us: when they occurred, with the server's time filled in.
    """
    # The last two columns, by whether the sender gave the time.
    tails = [_TAIL.pack(1, given, 8, received_us - _EPOCH_OFFSET_US) for given in (False, True)]
    # A function finds its local names faster than those of the module.
    pack, lengths, join, small = _OWN.pack, _LENGTHS, b"".join, _SMALL
    given, properties, amounts = events.occurred_us, events.properties, events.amounts
    columns = zip(places, keys, content_hashes, occurred_us, transaction_ids, given, properties, amounts, strict=True)
    return [
        join(
            (
                shared,
                pack(16, key, 16, content_hash, 8, at_us - _EPOCH_OFFSET_US),
                tails[given_us is not None],
                lengths[len(text)],
                text,
                lengths[len(raw)] if len(raw) < small else _LENGTH.pack(len(raw)),
                raw,
                _NULL if amount is None else _amount(amount),
            )
        )
        for shared, key, content_hash, at_us, text, given_us, raw, amount in columns
    ]


def copy_data(commit_id: int, rows: Iterable[bytes]) -> bytes:
    """The whole COPY stream of one commit; `rows` must not be empty."""
    head = _ROW_HEAD.pack(len(COLUMNS), 8, commit_id)
    return b"".join((_FILE_HEADER, head, head.join(rows), _FILE_TRAILER))


def _field(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _amount(amount: Decimal) -> bytes:
    dumped = DecimalBinaryDumper(Decimal).dump(amount)
    return _field(bytes(dumped or b""))
