"""Adding the servicer to a server so that one event of broken text leaves its neighbours unharmed."""

from __future__ import annotations

from typing import Any

import grpc

from farebox.ingest.v1 import usage_event_service_pb2_grpc as pb_grpc
from services.chassis.rpc.server_async import GenericServer
from services.ingest.convert.decode import read_ingest_request, read_stream_request
from services.ingest.rpc.servicer import UsageEventServicer

_READERS = {"IngestUsageEvents": read_ingest_request, "StreamUsageEvents": read_stream_request}


class _LenientServer:
    """Stands for a server while handlers are added, and gives some of them another way to read requests."""

    def __init__(self, server: GenericServer) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Nothing: these would read strictly."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Add the handlers, the lenient ones changed."""
        chosen = {
            name: handler._replace(request_deserializer=_READERS.get(name, handler.request_deserializer))
            for name, handler in handlers.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, chosen),))


def add_to_server(servicer: UsageEventServicer, server: GenericServer) -> None:
    """Serve the log."""
    # Generated code asks for a server by its class.
    lenient: Any = _LenientServer(server)
    pb_grpc.add_UsageEventServiceServicer_to_server(servicer, lenient)
