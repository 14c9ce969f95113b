"""Usage events from a file, one per line: NDJSON, or CSV with a header.

Both name the fields of a usage event: transaction_id, external_customer_id, external_subscription_id, code, timestamp
(RFC 3339, or Unix seconds), properties, precise_total_amount_cents. CSV may also have columns `properties.<name>`.
Numbers are kept as the text they are written in; none becomes a float.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from farebox.common.v1 import decimal_pb2
from farebox.ingest.v1 import usage_event_pb2 as pb
from services.kernel.instant import to_us
from services.kernel.money import decimal_or_none

_TEXTS = ("transaction_id", "external_customer_id", "external_subscription_id", "code")
_PROPERTY = "properties."
_MILLION = 1_000_000


class Line(NamedTuple):
    """One event of a file.

    Attributes:
        number: the number of its line, from 1.
        end: the byte offset after it, from which an import can continue.
        event: the event; None if the line is not one.
        problem: what is wrong with the line; empty if nothing is.
    """

    number: int
    end: int
    event: pb.UsageEvent | None
    problem: str = ""


class _Record(msgspec.Struct):
    transaction_id: str = ""
    external_customer_id: str = ""
    external_subscription_id: str = ""
    code: str = ""
    timestamp: msgspec.Raw = msgspec.Raw(b"null")
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    precise_total_amount_cents: msgspec.Raw = msgspec.Raw(b"null")


_decoder = msgspec.json.Decoder(_Record)


def read_lines(path: Path, *, offset: int, number: int) -> Iterator[Line]:
    """The events of a file from a byte offset on; empty lines are skipped.

    Args:
        path: a `.csv` file is read as CSV, any other as NDJSON.
        offset: 0, or the `end` of a line read before.
        number: the number of the line before the offset; 0 at the beginning.
    """
    is_csv = path.suffix.lower() == ".csv"
    with path.open("rb") as file:
        header = next(csv.reader([file.readline().decode("utf-8-sig")]), []) if is_csv else []
        if offset:
            file.seek(offset)
        else:
            offset, number = file.tell(), int(is_csv)
        for raw in file:
            number += 1
            offset += len(raw)
            if raw.strip():
                yield _line(raw, number, offset, header)


def _line(raw: bytes, number: int, end: int, header: list[str]) -> Line:
    try:
        record = _csv_record(raw.decode(), header) if header else _decoder.decode(raw)
        return Line(number, end, _event(record))
    except (ValueError, msgspec.MsgspecError, csv.Error) as error:
        return Line(number, end, None, str(error))


def _csv_record(text: str, header: list[str]) -> _Record:
    """A CSV line; quoted fields may not hold line breaks, since an import can continue from any line."""
    cells = next(csv.reader([text], strict=True))
    if len(cells) != len(header):
        raise ValueError(f"has {len(cells)} fields, the header has {len(header)}")
    row = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    properties = {name.removeprefix(_PROPERTY): cell for name, cell in row.items() if name.startswith(_PROPERTY)}
    raw = row.get("properties", "{}") if not properties else json.dumps(properties, ensure_ascii=False)
    return _Record(
        **{name: row.get(name, "") for name in _TEXTS},
        timestamp=_quoted(row.get("timestamp")),
        properties=msgspec.Raw(raw.encode()),
        precise_total_amount_cents=_quoted(row.get("precise_total_amount_cents")),
    )


def _quoted(text: str | None) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(text).encode())


def _event(record: _Record) -> pb.UsageEvent:
    event = pb.UsageEvent(
        **{name: getattr(record, name) for name in _TEXTS},
        properties=bytes(record.properties),
    )
    timestamp = _text(record.timestamp)
    if timestamp is not None:
        event.occurred_at.FromMicroseconds(_microseconds(timestamp))
    amount = _text(record.precise_total_amount_cents)
    if amount is not None:
        event.precise_total_amount_cents.CopyFrom(decimal_pb2.Decimal(value=amount))
    return event


def _text(raw: msgspec.Raw) -> str | None:
    """A JSON string's or number's text; None for null."""
    text = bytes(raw).decode()
    if text.startswith('"'):
        return str(json.loads(text))
    return None if text == "null" else text


def _microseconds(text: str) -> int:
    seconds = decimal_or_none(text)
    if seconds is not None:
        return int(seconds * _MILLION)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the timestamp {text!r} names no zone")
    return to_us(moment)
