"""Entries of announced batches, written as protobuf wire format by hand.

One entry is the same bytes as `UsageEventsAccepted(entries=[UsageEventEntry(…)])` (a test holds both side by side); by
hand it costs a third, because what the events of one place share is joined from the route.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from decimal import Decimal

from google.protobuf import timestamp_pb2

from farebox.common.v1 import decimal_pb2
from farebox.ingest.v1 import domain_events_pb2 as pb
from services.ingest.store.shards import Batch
from services.kernel.money import plain

_ENTRIES = b"\x22"  # UsageEventsAccepted.entries = 4
_ACCEPTED, _VOIDED = pb.UsageEventEntry.KIND_ACCEPTED, pb.UsageEventEntry.KIND_VOIDED
_KEY = b"\x1a\x10"  # event_key = 3, 16 bytes
_TRANSACTION_ID = b"\x22"  # transaction_id = 4
_OCCURRED_AT = b"\x42"  # occurred_at = 8
_RECEIVED_AT = b"\x4a"  # received_at = 9
_PROPERTIES = b"\x52"  # properties = 10
_AMOUNT = b"\x5a"  # precise_total_amount_cents = 11

# A varint has seven bits a byte; the eighth says that more follow.
_GROUP, _MORE = 0x7F, 0x80
# Lengths below this are looked up; nearly all are.
_SMALL = 1 << 14
_MILLION = 1_000_000
# Most nanoseconds are numbers of five groups; those are written without a loop.
_FIVE_GROUPS = 1 << 28
_KEPT_MOMENTS = 1_000


def varint(number: int) -> bytes:
    """A non-negative number in base 128, least significant group first."""
    groups = bytearray()
    while number > _GROUP:
        groups.append(number & _GROUP | _MORE)
        number >>= 7
    groups.append(number)
    return bytes(groups)


_VARINTS = [varint(number) for number in range(_SMALL)]


def _length(size: int) -> bytes:
    return _VARINTS[size] if size < _SMALL else varint(size)


class WireCodec:
    """Writes entries; see commands.codec.EntryCodec."""

    def __init__(self) -> None:
        # The time of receipt is the same for a whole batch.
        self._received: dict[int, bytes] = {}

    def head(
        self, organization: bytes, customer: str, subscription_id: str, code: str, *, voids: bool = False
    ) -> bytes:
        """What the entries of one place share."""
        return pb.UsageEventEntry(
            organization_id=str(uuid.UUID(bytes=organization)),
            kind=_VOIDED if voids else _ACCEPTED,
            external_customer_id=customer,
            subscription_id=subscription_id,
            code=code,
        ).SerializeToString()

    def entry(
        self,
        head: bytes,
        key: bytes,
        transaction_id: bytes,
        occurred_us: int,
        received_us: int,
        properties: bytes,
        amount: Decimal | None,
    ) -> bytes:
        """An entry about one event."""
        body = b"".join(
            (
                head,
                _KEY,
                key,
                _TRANSACTION_ID,
                _length(len(transaction_id)),
                transaction_id,
                _OCCURRED_AT,
                _moment(occurred_us),
                _RECEIVED_AT,
                self._received.get(received_us) or self._keep_received(received_us),
                _PROPERTIES,
                _length(len(properties)),
                properties,
                b"" if amount is None else _amount(amount),
            )
        )
        return _ENTRIES + _length(len(body)) + body

    def _keep_received(self, microseconds: int) -> bytes:
        if len(self._received) >= _KEPT_MOMENTS:
            self._received = {}
        written = self._received[microseconds] = _moment(microseconds)
        return written


@functools.lru_cache(maxsize=4096)
def _seconds(seconds: int) -> bytes:
    return timestamp_pb2.Timestamp(seconds=seconds).SerializeToString()


def _moment(microseconds: int) -> bytes:
    """A Timestamp with its length."""
    seconds, rest = divmod(microseconds, _MILLION)
    whole = _seconds(seconds)
    if not rest:
        return _VARINTS[len(whole)] + whole
    nanos = rest * 1000
    fraction = (
        b"\x10" + varint(nanos)
        if nanos < _FIVE_GROUPS
        else bytes(
            (
                0x10,
                nanos & _GROUP | _MORE,
                nanos >> 7 & _GROUP | _MORE,
                nanos >> 14 & _GROUP | _MORE,
                nanos >> 21 & _GROUP | _MORE,
                nanos >> 28,
            )
        )
    )
    return _VARINTS[len(whole) + len(fraction)] + whole + fraction


def _amount(amount: Decimal) -> bytes:
    message = decimal_pb2.Decimal(value=plain(amount)).SerializeToString()
    return _AMOUNT + _length(len(message)) + message


def announcement(batches: Sequence[Batch]) -> bytes:
    """The message that carries consecutive batches of one shard; concatenated entries are repeated fields."""
    head = pb.UsageEventsAccepted(
        shard=batches[0].shard, first_number=batches[0].number, last_number=batches[-1].number
    )
    return head.SerializeToString() + b"".join([batch.payload for batch in batches])
