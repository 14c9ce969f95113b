"""The gateway process: settings, application, uvicorn; SIGTERM drains."""

from __future__ import annotations

import sys

import uvicorn

from gateway.app import create_app
from gateway.clients import Clients
from gateway.config import GatewaySettings
from gateway.dialects import DIALECTS
from services.chassis import metrics
from services.chassis.log import configure

# Requests that wait for the event loop; the kernel refuses more connections than this.
BACKLOG = 2048
# Clients reuse connections for a minute; load balancers close theirs first.
KEEP_ALIVE_SECONDS = 65


def main() -> None:
    """Run until SIGTERM or SIGINT; `--print-config` prints the settings instead, secrets hidden."""
    settings = GatewaySettings()
    if "--print-config" in sys.argv:
        sys.stdout.write(settings.model_dump_json(indent=2) + "\n")
        return
    configure("gateway", settings.log_level)
    metrics.serve(settings.metrics_bind)
    uvicorn.Server(server_config(settings)).run()


def server_config(settings: GatewaySettings) -> uvicorn.Config:
    """How uvicorn serves the application."""
    host, _, port = settings.http_bind.rpartition(":")
    return uvicorn.Config(
        create_app(lambda: Clients(settings), DIALECTS, settings.public_url, settings.allowed_origins, settings.limits),
        host=host,
        port=int(port),
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.drain_seconds,
    )


if __name__ == "__main__":
    main()
