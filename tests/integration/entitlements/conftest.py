"""A database of the service, or its whole process: rating's announcements are applied, questions are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from farebox.entitlements.v1 import access_service_pb2_grpc, feature_service_pb2_grpc
from services.chassis.bus import Bus
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.rpc.channel import open_channel
from services.entitlements.main import build
from services.entitlements.settings import EntitlementsSettings
from services.kernel.ids import OrganizationId, new_id
from tests.support.entitlements import Running, World
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.events import RatingLog


@pytest.fixture
def world(database_for: Callable[[str], Database]) -> World:
    """A fresh world."""
    return World(database_for("entitlements"))


@pytest.fixture
def running(settings_for: Callable[[str], Settings], bus: Bus) -> Iterator[Running]:
    """The process, with its callers."""
    settings = settings_for("entitlements")
    # A change is waited for as long as a test waits for anything.
    chosen = {**settings.model_dump(), "freshness_seconds": PATIENCE_SECONDS}
    parts = build(EntitlementsSettings.model_validate(chosen))
    for worker in parts.workers:
        worker.start()
    parts.server.start(parts.service_names)
    with open_channel(f"127.0.0.1:{parts.server.port}") as wire:
        yield Running(
            parts,
            access_service_pb2_grpc.AccessServiceStub(wire),
            feature_service_pb2_grpc.FeatureServiceStub(wire),
            OrganizationId(new_id()),
            RatingLog(bus),
        )
        parts.server.drain()
    for worker in reversed(parts.workers):
        worker.stop()
    parts.close()
