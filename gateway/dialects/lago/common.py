"""What Lago's shapes share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.schema import of

Name = Annotated[str, Meta(min_length=1, max_length=255, description="Name for people.")]
Description = Annotated[str, Meta(max_length=10_000, description="Explanation for people.")]


class Identified(Struct, kw_only=True):
    """Both names of a Farebox id: Lago's clients read one, Nozle's the other."""

    lago_id: Annotated[str | None, of("id")]
    nozle_id: Annotated[str | None, of("id")]
