"""The gateway's own HTTP server in front of nothing: it reads a request and answers a constant.

HTTP_BIND=127.0.0.1:0 python -m benchmarks.constant_server
"""

from __future__ import annotations

import uvicorn
from starlette.types import Receive, Scope, Send

from gateway.config import GatewaySettings
from gateway.main import server_config

# As long as the answer to one event.
BODY = b"{" + b" " * 380 + b"}"
_HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())],
}
_REST = {"type": "http.response.body", "body": BODY}


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, and answer the constant."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send(_HEAD)
    await send(_REST)


def main() -> None:
    """Serve until SIGTERM, with the gateway's own settings of the server."""
    config = server_config(GatewaySettings())
    config.app, config.lifespan = answer, "off"
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
