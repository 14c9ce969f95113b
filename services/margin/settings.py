"""Settings of the margin process."""

from __future__ import annotations

from services.chassis.config import Settings


class MarginSettings(Settings):
    """What every process needs to know; margin has no setting of its own."""
