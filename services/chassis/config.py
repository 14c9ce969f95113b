"""Settings of a process, read once from the environment; every field has a working default for a laptop.

A name in upper case is the environment variable; `python -m services.<service>.main --print-config` shows the result
with secrets hidden. Kubernetes manifests may only set variables that exist here (`make k8s-check`).
"""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What every process needs to know.

    Attributes:
        environment: `local` or `production`; production refuses development secrets.
        log_level: structlog level name.
        grpc_bind: `host:port` of the gRPC server; port 0 picks a free one.
        metrics_bind: `host:port` of the Prometheus endpoint `/metrics`; empty disables it.
        grpc_workers: threads that serve calls; also the most calls in progress at once. Ingest, which serves events on
            an event loop, uses them for its other calls.
        grpc_queue: calls that may wait for a thread before new ones are refused RESOURCE_EXHAUSTED.
        drain_seconds: how long running calls may take to finish after SIGTERM.
        drain_notice_seconds: how long health says NOT_SERVING before the server stops taking calls.
        database_url: `postgresql://…` of this service's own database, as its login role.
        database_pool_size: most connections of each role's pool.
        statement_timeout_ms: after this time PostgreSQL cancels a statement.
        nats_url: `nats://host:port` of the JetStream cluster.
        freshness_seconds: how long a call waits at most for a change that another service has announced.
        stream_max_bytes: most bytes a publisher's stream may hold; when it is full, messages wait in the outbox. NATS
            reserves it, so all five streams together must fit into its file store.
        stream_max_age_seconds: how long a message stays in its stream; older messages are replayed from the source.
        ingest_address, rating_address, entitlements_address, margin_address: gRPC targets of the four services.
        reflection: whether the gRPC server describes itself (off in production).
    """

    model_config = SettingsConfigDict(env_prefix="", case_sensitive=False, frozen=True, extra="ignore")

    environment: str = "local"
    log_level: str = "info"
    grpc_bind: str = "127.0.0.1:0"
    metrics_bind: str = ""
    grpc_workers: int = Field(default=32, ge=1, le=512)
    grpc_queue: int = Field(default=512, ge=1, le=100_000)
    drain_seconds: int = Field(default=20, ge=0, le=300)
    drain_notice_seconds: float = Field(default=1.0, ge=0, le=60)
    database_url: SecretStr = SecretStr("postgresql://farebox@127.0.0.1:5432/farebox")
    database_pool_size: int = Field(default=16, ge=1, le=200)
    statement_timeout_ms: int = Field(default=30_000, ge=100, le=600_000)
    freshness_seconds: float = Field(default=2.0, gt=0, le=60)
    nats_url: str = "nats://127.0.0.1:4222"
    stream_max_bytes: int = Field(default=1024**3, ge=1024**2)
    stream_max_age_seconds: int = Field(default=3 * 24 * 3600, ge=60)
    ingest_address: str = "127.0.0.1:50051"
    rating_address: str = "127.0.0.1:50052"
    entitlements_address: str = "127.0.0.1:50053"
    margin_address: str = "127.0.0.1:50054"
    reflection: bool = True
