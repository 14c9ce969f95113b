"""Settings of the gateway: those of every process, and where it listens for HTTP."""

from __future__ import annotations

from pydantic import Field

from gateway.limit_terms import BUDGET, Budget, Terms
from services.chassis.config import Settings


class GatewaySettings(Settings):
    """What the gateway needs to know beyond `services.chassis.config.Settings`.

    Attributes:
        http_bind: `host:port` of the REST server; port 0 picks a free one.
        public_url: the beginning of links in answers, e.g. `https://billing.example`; if empty, the address that the
            caller used.
        cors_origins: origins whose pages may call from a browser, comma-separated, e.g. `https://app.example`; empty
            allows none. `*` is refused: a key must not work from just any page that somebody opens.
        limit_seconds: the length of the windows in which requests are counted, by this process (ADR 20).
        limit_key, limit_organization: requests of a key and of an organization in a window; 0 for any number.
        limit_clock: advances of an organization's test clock in a minute; 0 for any number.
        limit_documents: its PDFs in a minute; 0 for any number.
        limit_forecasts: its projected usage, rebuilt invoices and explained fees in a minute; 0 for any number.
    """

    http_bind: str = "127.0.0.1:8000"
    public_url: str = ""
    cors_origins: str = Field(default="", pattern=r"^(https?://[^\s,*/]+(,https?://[^\s,*/]+)*)?$")

    limit_seconds: int = Field(default=Terms.seconds, ge=1, le=3600)
    limit_key: int = Field(default=Terms.key, ge=0)
    limit_organization: int = Field(default=Terms.organization, ge=0)
    limit_clock: int = Field(default=BUDGET, ge=0)
    limit_documents: int = Field(default=BUDGET, ge=0)
    limit_forecasts: int = Field(default=BUDGET, ge=0)

    @property
    def limits(self) -> Terms:
        """How much a key and an organization may ask."""
        amounts = (self.limit_clock, self.limit_documents, self.limit_forecasts)
        budgets = tuple(zip(Budget, amounts, strict=True))
        return Terms(self.limit_seconds, self.limit_key, self.limit_organization, budgets)

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins, one by one."""
        return tuple(filter(None, self.cors_origins.split(",")))
