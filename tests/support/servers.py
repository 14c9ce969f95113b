"""Real servers for the integration tier: started once a session, with a fresh database and empty streams a test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import nats
from nats.js.errors import NotFoundError
from pydantic import SecretStr

from services.chassis.config import Settings
from services.chassis.migrate import migrate
from services.local.nats_server import NatsServer
from services.local.postgres_server import PostgresServer

# Small pools: a test opens a few databases at most, and all of them share one server.
POOL_SIZE = 8


class Templates:
    """The services' databases, migrated once; every test works on copies of them."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._migrated: set[str] = set()

    def clone(self, service: str) -> str:
        """The URL of a fresh copy of the service's migrated database, as its login role."""
        if service not in self._migrated:
            migrate(f"services.{service}", self._server.service_url(service))
            self._migrated.add(service)
        return self._server.clone_database(service)

    def drop(self, url: str) -> None:
        """Drop a copy, ending its sessions."""
        self._server.drop_database(url)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server with the roles and empty databases of all services."""
    # A power cut during a test run costs nothing, and fsync dominates the time of a test that commits.
    with PostgresServer.temporary(settings={"fsync": "off"}) as server:
        server.provision()
        yield server


def empty_streams(server: NatsServer) -> None:
    """Delete every stream, so that a test reads nothing that another one published."""

    async def delete() -> None:
        client = await nats.connect(server.url, allow_reconnect=False)
        jetstream = client.jetstream()
        for stream in await jetstream.streams_info():
            with suppress(NotFoundError):
                await jetstream.delete_stream(str(stream.config.name))
        await client.close()

    asyncio.run(delete())


def settings_of(database_url: str, nats_url: str) -> Settings:
    """The settings of a process of the test, whatever the environment says."""
    return Settings(
        database_url=SecretStr(database_url),
        nats_url=nats_url,
        database_pool_size=POOL_SIZE,
        drain_notice_seconds=0,
        drain_seconds=5,
    )
