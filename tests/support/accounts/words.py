"""Functions with which accounts of several heights read a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from services.rating.agreements.change import ChangeTiming

TIMINGS = {"": ChangeTiming.DEFAULT, "now": ChangeTiming.NOW, "period_end": ChangeTiming.PERIOD_END}
# Numbers never pass through a float, so none of them is rounded.
_PROPERTIES = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def properties_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event's properties as the log gives them back: numbers are int or Decimal, never float."""
    return _PROPERTIES.decode(msgspec.json.encode(event["properties"]))


def instant_or_none(text: str | None) -> datetime | None:
    """The instant of a text; None for None."""
    return None if text is None else datetime.fromisoformat(text)
