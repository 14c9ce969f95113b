"""Prometheus metrics of every process: one HTTP port, `/metrics`, nothing else on it."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, start_http_server

RPC_SECONDS = Histogram(
    "farebox_rpc_seconds",
    "Time to answer a call, by method and gRPC status code.",
    ["method", "code"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
PUBLISHED = Counter("farebox_bus_published_total", "Messages published to a stream.", ["stream"])
APPLIED = Counter("farebox_log_applied_total", "Messages of a numbered log applied.", ["log"])
REPLAYED = Counter("farebox_log_replayed_total", "Messages fetched from the source after a gap.", ["log"])
DEAD_LETTERS = Counter("farebox_dead_letters_total", "Messages set aside because they cannot be applied.", ["log"])
JOB_FAILURES = Counter("farebox_job_failures_total", "Turns of a job that ended in an error nobody foresaw.", ["job"])
SET_ASIDE = Counter(
    "farebox_set_aside_total", "Things that a job could not do and set aside, by what it tried.", ["work"]
)
LOG_POSITION = Gauge("farebox_log_position", "Last number applied of a numbered log.", ["log"])
OUTBOX_WAITING = Gauge("farebox_outbox_waiting", "Outbox rows not yet published.")


def serve(bind: str) -> None:
    """Serve `/metrics` on `host:port`; an empty string serves nothing."""
    if bind:
        host, _, port = bind.rpartition(":")
        start_http_server(int(port), addr=host or "0.0.0.0")  # noqa: S104 - a pod's port, guarded by its NetworkPolicy
