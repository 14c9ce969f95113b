"""Settings of the gateway: those of every process, and where it listens for HTTP."""

from __future__ import annotations

from pydantic import Field

from services.chassis.config import Settings


class GatewaySettings(Settings):
    """What the gateway needs to know beyond `services.chassis.config.Settings`.

    Attributes:
        http_bind: `host:port` of the REST server; port 0 picks a free one.
        public_url: the beginning of links in answers, e.g. `https://billing.example`; if empty, the address that the
            caller used.
        cors_origins: origins whose pages may call from a browser, comma-separated, e.g. `https://app.example`; empty
            allows none. `*` is refused: a key must not work from just any page that somebody opens.
    """

    http_bind: str = "127.0.0.1:8000"
    public_url: str = ""
    cors_origins: str = Field(default="", pattern=r"^(https?://[^\s,*/]+(,https?://[^\s,*/]+)*)?$")

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins, one by one."""
        return tuple(filter(None, self.cors_origins.split(",")))
