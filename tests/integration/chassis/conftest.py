"""Fixtures of the chassis's own tests.

side()   a publisher or a consumer: a database with the chassis's tables, and a connection to NATS
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from services.chassis.bus import Bus
from services.chassis.db import Database
from services.local.postgres_server import PostgresServer
from tests.support.chassis.logs import Side, make_tables
from tests.support.chassis.operations import prepare
from tests.support.servers import settings_of


@pytest.fixture
def side(postgres_server: PostgresServer, nats_url: str) -> Iterator[Callable[..., Side]]:
    """Make a side; further settings of its process by name."""
    opened: list[tuple[Side, str]] = []

    def make(**changes: object) -> Side:
        url = postgres_server.clone_database("rating")
        prepare(url, make_tables)
        settings = settings_of(url, nats_url).model_copy(update=changes)
        opened.append((Side(Database(settings), Bus(settings)), url))
        return opened[-1][0]

    yield make
    for made, url in opened:
        made.bus.close()
        made.db.dispose()
        postgres_server.drop_database(url)
