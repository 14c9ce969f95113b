"""Whether a process on this machine is ready, by its gRPC health or its HTTP page /healthz."""

from __future__ import annotations

import http.client
import socket

from services.local.ports import LOOPBACK

# A ready process on the same machine answers within a millisecond; the caller asks again if it does not.
ANSWER_SECONDS = 2.0


def http_is_healthy(port: int) -> bool:
    """Whether `GET /healthz` answers 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        # Not listening yet, or about to end; callers wait with a limit and notice when the process ends.
        return False
    finally:
        connection.close()


def grpc_is_serving(port: int) -> bool:
    """Whether the server as a whole (health service name "") is SERVING."""
    if not _is_listening(port):
        # A gRPC channel that fails once waits a second before it connects again; trying a socket first costs nothing.
        return False
    # Imported late, so that tests of PostgreSQL or NATS alone need not load gRPC.
    import grpc
    from grpc_health.v1 import health_pb2

    # Channels to one address share a connection and its back-off unless told otherwise.
    with grpc.insecure_channel(f"{LOOPBACK}:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(service=""), timeout=ANSWER_SECONDS)
        except grpc.RpcError:
            # Listening but not answering yet; the caller's wait has a limit here too.
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _is_listening(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(ANSWER_SECONDS)
        return client.connect_ex((LOOPBACK, port)) == 0
