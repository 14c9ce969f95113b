"""Settings of the gateway: those of every process, and where it listens for HTTP."""

from __future__ import annotations

from services.chassis.config import Settings


class GatewaySettings(Settings):
    """What the gateway needs to know beyond `services.chassis.config.Settings`.

    Attributes:
        http_bind: `host:port` of the REST server; port 0 picks a free one.
        public_url: what links in answers begin with, e.g. `https://billing.example`; empty takes the caller's own.
    """

    http_bind: str = "127.0.0.1:8000"
    public_url: str = ""
