"""A gRPC server with a thread for each call."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.chassis.config import Settings
from services.chassis.rpc.channel import MAX_ANSWER_BYTES, MAX_MESSAGE_BYTES
from services.chassis.rpc.health import Health

# Callers ping idle connections (chassis.rpc.channel, KEEPALIVE_MS); a caller that pings more often than this is
# disconnected.
MIN_PING_INTERVAL_MS = 10_000
# Connections are closed after this and resolved again, which keeps a channel's list of replicas fresh.
MAX_CONNECTION_AGE_MS = 5 * 60 * 1000
# A call that runs when its connection reaches that age may finish: the longest that any front end waits for is an
# advance of a test clock (ten minutes). When the process stops, `drain_seconds` applies.
CALL_GRACE_MS = 10 * 60 * 1000


def server_options() -> list[tuple[str, int]]:
    """The options of every server, sync or aio."""
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_ANSWER_BYTES),
        ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", CALL_GRACE_MS),
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


class Server:
    """A gRPC server with health and reflection; add servicers with the generated `add_…_to_server` functions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.draining = threading.Event()
        """Set when the server begins to drain, so that streams without an end of their own end."""
        self._pool = ThreadPoolExecutor(settings.grpc_workers, thread_name_prefix="rpc")
        self.grpc = grpc.server(
            self._pool,
            maximum_concurrent_rpcs=settings.grpc_workers + settings.grpc_queue,
            options=server_options(),
        )
        self._health = Health()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        self.port = self.grpc.add_insecure_port(settings.grpc_bind)
        self._say(health_pb2.HealthCheckResponse.NOT_SERVING)

    def _say(self, state: int) -> None:
        for name in ("", "readiness"):
            self._health.set(name, state)
        self._health.set("liveness", health_pb2.HealthCheckResponse.SERVING)

    def start(self, service_names: Sequence[str]) -> None:
        """Accept calls, and report SERVING."""
        if self._settings.reflection:
            names = [*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, self.grpc)
        self.grpc.start()
        self._say(health_pb2.HealthCheckResponse.SERVING)

    def drain(self) -> None:
        """Report NOT_SERVING, let callers notice, finish running calls, stop."""
        self.draining.set()
        self._health.enter_graceful_shutdown()
        time.sleep(self._settings.drain_notice_seconds)
        self.grpc.stop(self._settings.drain_seconds).wait()
        self._pool.shutdown()
