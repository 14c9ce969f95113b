"""A Farebox that runs on this machine for as long as tests need it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Self

import grpc

from farebox.testing.organization import Farebox, create_organization
from services.chassis.provision import SERVICES
from services.chassis.rpc.channel import open_channel
from services.local.stack import Stack
from services.local.stack_options import database_variable

# A test's data need not survive a power cut. It does survive kill -9 of any process, because the kernel holds it.
POSTGRES_SETTINGS = {"fsync": "off"}
# Nobody balances load over these processes, so none has to announce its end in advance. And the databases and streams
# are our own even if the environment names others.
ENVIRONMENT = {"DRAIN_NOTICE_SECONDS": "0", "NATS_URL": "", **{database_variable(service): "" for service in SERVICES}}


@dataclass(frozen=True)
class ServerOptions:
    """What a Farebox for tests should be.

    Attributes:
        replicas: processes of each service.
        env: variables of every process, e.g. `{"LOG_LEVEL": "debug"}`.
    """

    replicas: int = 1
    env: Mapping[str, str] = field(default_factory=dict)


class FareboxServer:
    """A running Farebox.

    Attributes:
        url: the address of the gateway, e.g. `http://127.0.0.1:40123`; an SDK calls it the host.
    """

    def __init__(self, url: str, addresses: Mapping[str, str]) -> None:
        """A server that runs already.

        Args:
            url: where the gateway answers.
            addresses: gRPC targets by service.
        """
        self.url = url
        self._addresses = dict(addresses)
        self._channels: dict[str, grpc.Channel] = {}
        # Tests may use one server from several threads.
        self._opening = Lock()

    @classmethod
    def on(cls, stack: Stack) -> FareboxServer:
        """The server of a local stack that was started, for callers that run one themselves."""
        return cls(stack.http_url, {service: stack.address(service) for service in SERVICES})

    def address(self, service: str) -> str:
        """The gRPC target of `ingest`, `rating`, `entitlements` or `margin`; it reaches all replicas."""
        return self._addresses[service]

    def channel(self, service: str) -> grpc.Channel:
        """A gRPC channel to the service, for the stubs of `farebox.<service>.v1`; open until `close`."""
        with self._opening:
            if service not in self._channels:
                self._channels[service] = open_channel(self.address(service))
            return self._channels[service]

    def new_organization(self, name: str = "Test", **settings: Any) -> Farebox:
        """A fresh organization in test mode, with a key of each kind.

        Args:
            name: what it is called.
            settings: further fields of `farebox.rating.v1.Organization`, e.g. `default_currency="EUR"`.
        """
        return create_organization(self.url, self.channel, name, **settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what this object opened; the server itself keeps running."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()


@contextmanager
def running(options: ServerOptions | None = None) -> Iterator[FareboxServer]:
    """Start a Farebox on free ports and wait until it answers; at the end it is stopped and deleted.

    Whatever ends this process, even kill -9, ends the server's processes with it.

    Raises:
        ProcessFailedError: a process did not become ready; the message shows the end of its log.
    """
    wanted = options or ServerOptions()
    with (
        Stack.temporary(
            replicas=dict.fromkeys(SERVICES, wanted.replicas),
            env={**ENVIRONMENT, **wanted.env},
            postgres_settings=POSTGRES_SETTINGS,
        ) as stack,
        FareboxServer.on(stack) as server,
    ):
        yield server
