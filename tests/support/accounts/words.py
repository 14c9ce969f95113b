"""What accounts of more than one height read of a scenario in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from services.rating.agreements.change import ChangeTiming

TIMINGS = {"": ChangeTiming.DEFAULT, "now": ChangeTiming.NOW, "period_end": ChangeTiming.PERIOD_END}
# Numbers never pass through a float, so none is rounded on the way.
_PROPERTIES = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def properties_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event's properties as the log gives them back: numbers are int or Decimal, never float."""
    return _PROPERTIES.decode(msgspec.json.encode(event["properties"]))


def instant_or_none(text: str | None) -> datetime | None:
    """An instant, where there is one."""
    return None if text is None else datetime.fromisoformat(text)
