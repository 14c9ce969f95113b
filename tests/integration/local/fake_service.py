"""A stand-in for a service or the gateway: answers health, records what it was told, stops on SIGTERM."""

from __future__ import annotations

import http.server
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def serve_grpc(address: str) -> None:
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if server.add_insecure_port(address) == 0:
        sys.exit(f"cannot bind {address}")
    server.start()
    server.wait_for_termination()


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(http.HTTPStatus.OK)
        self.end_headers()


def serve_http(address: str) -> None:
    host, port = address.split(":")
    http.server.ThreadingHTTPServer((host, int(port)), Healthy).serve_forever()


def main() -> None:
    signal.signal(signal.SIGTERM, leave)
    record = os.environ.get("FAKE_RECORD")
    if record:
        told = {name: value for name, value in os.environ.items() if name.isupper()}
        path = Path(record) / f"{os.getpid()}.json"
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(told))
        draft.rename(path)
    if os.environ.get("FAKE_FAIL"):
        sys.exit("the fake was told to fail")
    if "HTTP_BIND" in os.environ:
        serve_http(os.environ["HTTP_BIND"])
    else:
        serve_grpc(os.environ["GRPC_BIND"])


if __name__ == "__main__":
    main()
