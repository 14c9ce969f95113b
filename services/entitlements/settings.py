"""Settings of the entitlements process."""

from __future__ import annotations

from pydantic import Field

from services.chassis.config import Settings


class EntitlementsSettings(Settings):
    """What every process needs to know, and the limits of watches.

    Attributes:
        watch_limit: how many watches may run at once; each occupies one of `grpc_workers`, and some must be left for
            calls.
        watch_poll_seconds: how often a watch looks for changes; the latency of a push is about half of it.
    """

    watch_limit: int = Field(default=16, ge=1, le=500)
    watch_poll_seconds: float = Field(default=0.05, ge=0.005, le=5)
