"""Settings of the ingest process."""

from __future__ import annotations

from pydantic import Field

from services.chassis.config import Settings


class IngestSettings(Settings):
    """As chassis.config.Settings, with defaults for calls that mostly wait for a commit.

    Attributes:
        grpc_workers: calls in progress; all of them share a commit, so more of them make each commit cheaper.
    """

    grpc_workers: int = Field(default=64, ge=1, le=512)
