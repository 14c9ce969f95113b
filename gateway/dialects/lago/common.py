"""What Lago's shapes have in common."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from farebox.common.v1.period_pb2 import Period
from gateway.projection import aware
from gateway.schema import of

Name = Annotated[str, Meta(min_length=1, max_length=255, description="Name for people.")]
Description = Annotated[str, Meta(max_length=10_000, description="Explanation for people.")]


class Identified(Struct, kw_only=True):
    """Both names of a Farebox id: Lago's clients read one, Nozle's the other."""

    lago_id: Annotated[str | None, of("id")]
    nozle_id: Annotated[str | None, of("id")]


# Lago names the last second of a span, we name the first instant after it.
_SECOND = timedelta(seconds=1)


def first_instant(period: Period) -> datetime:
    """The beginning of a span."""
    return aware(period.start)


def last_second(period: Period) -> datetime:
    """The last second of a span, as Lago writes its end; for an empty span its only instant."""
    return max(aware(period.end) - _SECOND, aware(period.start))
