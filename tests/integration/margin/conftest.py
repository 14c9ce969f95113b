"""Margin on a fresh database, and its whole process on real PostgreSQL and NATS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from farebox.ingest.v1 import usage_event_service_pb2_grpc as ingest_grpc
from services.chassis.config import Settings
from services.chassis.db import Database
from services.margin.deps import Deps
from services.margin.main import Parts
from tests.support.margin import (
    deps_on,
)
from tests.support.margin_process import Client, Ingest, running


@pytest.fixture
def deps(database_for: Callable[[str], Database]) -> Deps:
    """The service on a fresh database, with a clock that stands."""
    return deps_on(database_for("margin"))


@pytest.fixture
def ingest() -> Iterator[tuple[Ingest, str]]:
    servicer = Ingest()
    server = grpc.server(ThreadPoolExecutor(4))
    ingest_grpc.add_UsageEventServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def settings(settings_for: Callable[[str], Settings], ingest: tuple[Ingest, str]) -> Settings:
    quick = {"ingest_address": ingest[1], "drain_notice_seconds": 0.0, "drain_seconds": 1}
    return settings_for("margin").model_copy(update=quick)


@pytest.fixture
def margin(settings: Settings) -> Iterator[Parts]:
    with running(settings) as parts:
        yield parts


@pytest.fixture
def client(margin: Parts) -> Client:
    return Client(margin)
