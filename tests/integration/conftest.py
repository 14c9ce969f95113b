"""Fixtures on real servers. Where PostgreSQL or NATS cannot start the tests fail; they are never skipped.

settings_for(service)   settings of a process of that service: a fresh migrated database, the session's NATS
database_for(service)   a connected `Database` on a fresh migrated database of that service
bus                     a connection to the session's NATS, whose streams were emptied for this test
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from services.chassis.bus import Bus
from services.chassis.config import Settings
from services.chassis.db import Database
from services.local.nats_server import NatsServer
from services.local.postgres_server import PostgresServer
from tests.support.servers import Templates, empty_streams, running_postgres, settings_of


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's PostgreSQL server."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """The session's NATS server."""
    with NatsServer.temporary() as server:
        yield server


@pytest.fixture(scope="session")
def templates(postgres_server: PostgresServer) -> Templates:
    """The migrated databases that tests copy."""
    return Templates(postgres_server)


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    """The session's NATS, without any stream."""
    empty_streams(nats_server)
    return nats_server.url


@pytest.fixture
def settings_for(templates: Templates, nats_url: str) -> Iterator[Callable[[str], Settings]]:
    """Settings of a process of a service; each call makes a fresh database, which is dropped after the test."""
    clones: list[str] = []

    def make(service: str) -> Settings:
        clones.append(templates.clone(service))
        return settings_of(clones[-1], nats_url)

    yield make
    for url in clones:
        templates.drop(url)


@pytest.fixture
def database_for(settings_for: Callable[[str], Settings]) -> Iterator[Callable[[str], Database]]:
    """A database of a service, fresh for each call; closed after the test."""
    opened: list[Database] = []

    def make(service: str) -> Database:
        opened.append(Database(settings_for(service)))
        return opened[-1]

    yield make
    for database in opened:
        database.dispose()


@pytest.fixture
def bus(nats_url: str) -> Iterator[Bus]:
    """A connection to the session's NATS."""
    connection = Bus(settings_of("postgresql://unused@127.0.0.1:1/unused", nats_url))
    yield connection
    connection.close()
