"""What a local stack should be, and what its processes are told."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.chassis.provision import SERVICES
from services.local.ports import Port
from services.local.postgres_server import SETTINGS

GATEWAY = "gateway"
HTTP_PORT = 8000
# As in `config.Settings`; smaller with many replicas, so that all pools together stay below the server's limit.
POOL_SIZE = 16
# Left for migrations, the tests' own connections and PostgreSQL's reserve for superusers.
SPARE_CONNECTIONS = 40
# Each process has one pool for each of its two roles.
POOLS_PER_PROCESS = 2


@dataclass(frozen=True)
class StackOptions:
    """What a local stack should be.

    Attributes:
        data_dir: everything the stack stores, and its logs; one stack at a time.
        services: which services run.
        replicas: how many processes of a service, 1 if not named.
        ports: fixed ports by process name (`gateway`, `postgres`, `nats`, `nats-monitor`, `ingest-1` …); all
        others
            are free ones.
        env: variables of every process. `INGEST_DATABASE_URL` … and `NATS_URL`, here or in our own environment,
            name servers that run elsewhere, unless empty; the stack then starts none of its own.
        env_of: more variables by process name or service name.
        commands: other commands by service name or `gateway`, for tests.
        postgres_settings: server settings of its own PostgreSQL that override `postgres_server.SETTINGS`.
        migrate: whether migrations run before the services start.
        gateway: whether the gateway runs.
    """

    data_dir: Path = Path(".farebox")
    services: Sequence[str] = SERVICES
    replicas: Mapping[str, int] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=lambda: {GATEWAY: HTTP_PORT})
    env: Mapping[str, str] = field(default_factory=dict)
    env_of: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    postgres_settings: Mapping[str, str] = field(default_factory=dict)
    migrate: bool = True
    gateway: bool = True

    def names(self, service: str) -> list[str]:
        """The process names of a service, e.g. `ingest-1` and `ingest-2`."""
        return [f"{service}-{number + 1}" for number in range(self.replicas.get(service, 1))]

    def port(self, name: str) -> Port:
        """Reserve the port of a process: the one asked for, or a free one."""
        return Port(self.ports.get(name, 0))

    def command(self, service: str) -> Sequence[str]:
        """What runs a process of this service, or the gateway."""
        module = "gateway.main" if service == GATEWAY else f"services.{service}.main"
        return self.commands.get(service) or [sys.executable, "-m", module]

    def environment(self) -> dict[str, str]:
        """Our environment and `env`, with our import path, so that the children import the same code."""
        paths = os.pathsep.join(path for path in sys.path if path)
        return {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", **self.env}

    def external_database(self, service: str) -> str | None:
        """The URL of a service's database, if it is elsewhere."""
        return self.environment().get(database_variable(service)) or None

    def external_nats(self) -> str | None:
        """The URL of the NATS server, if it is elsewhere."""
        return self.environment().get("NATS_URL") or None

    def process_environment(self, name: str, service: str, told: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of one process.

        Args:
            name: of the process.
            service: whose process it is.
            told: what the stack tells it: addresses and the like.
        """
        # A process is told its own database as DATABASE_URL, and nobody else's.
        hidden = {database_variable(other) for other in SERVICES}
        shared = {key: value for key, value in self.environment().items() if key not in hidden}
        pool = {"DATABASE_POOL_SIZE": str(self._pool_size())}
        return {**pool, **shared, **told, **self.env_of.get(service, {}), **self.env_of.get(name, {})}

    def _pool_size(self) -> int:
        processes = sum(len(self.names(service)) for service in self.services)
        share = (int(SETTINGS["max_connections"]) - SPARE_CONNECTIONS) // (POOLS_PER_PROCESS * max(processes, 1))
        return max(1, min(POOL_SIZE, share))


def database_variable(service: str) -> str:
    """The variable that names a service's database, e.g. `INGEST_DATABASE_URL`."""
    return f"{service.upper()}_DATABASE_URL"


def grpc_target(ports: Sequence[Port]) -> str:
    """A gRPC target that reaches all replicas of a service."""
    addresses = ",".join(port.address for port in ports)
    return f"ipv4:{addresses}" if len(ports) > 1 else addresses
