"""Settings of the ingest process."""

from __future__ import annotations

from services.chassis.config import Settings


class IngestSettings(Settings):
    """What ingest reads from the environment: so far only what every service reads."""
