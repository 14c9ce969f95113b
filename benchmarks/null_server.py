"""A gRPC server like ingest's own whose only method answers nothing: the lower bound of every call.

GRPC_BIND=127.0.0.1:0 python -m benchmarks.null_server
"""

from __future__ import annotations

import signal
import threading
from typing import Any

import grpc

from services.chassis.config import Settings
from services.chassis.rpc.server_async import AsyncServer

SERVICE = "farebox.benchmarks.v1.NullService"
METHOD = f"/{SERVICE}/Answer"


async def _answer(_request: bytes, _context: Any) -> bytes:
    return b""


def main() -> None:
    """Serve until SIGTERM."""
    server = AsyncServer(Settings())
    handlers: dict[str, Any] = {"Answer": grpc.unary_unary_rpc_method_handler(_answer)}
    server.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    server.start([SERVICE])
    stop.wait()
    server.drain()
    server.close()


if __name__ == "__main__":
    main()
