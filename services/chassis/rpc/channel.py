"""Channels: how a service or a front end reaches a service and all its replicas."""

from __future__ import annotations

import json
from typing import Any

import grpc

# A batch of 1,000 events may have 4 MiB; its envelope and details need a little more.
MAX_MESSAGE_BYTES = 5 * 1024 * 1024
# Our own services may answer with more than they accept from callers: an invoice of 10,000 fees with all the lines of
# their prices.
MAX_ANSWER_BYTES = 32 * 1024 * 1024
# How often idle connections are pinged, to notice a dead peer; the server must allow it, or it hangs up.
KEEPALIVE_MS = 30_000

# What every channel repeats: calls that certainly did not run, or can run again without harm (all calls have an
# identity).
SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5},
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)


def open_channel(target: str, *, retries: bool = True) -> grpc.Channel:
    """A channel to a service: balanced over its replicas, health-checked, retried on UNAVAILABLE.

    Args:
        target: where the service is.
        retries: whether calls are retried; not by those who have something better to do than to wait.
    """
    return grpc.insecure_channel(target, options=[*channel_options(), ("grpc.enable_retries", int(retries))])


def channel_options() -> list[tuple[str, Any]]:
    """The options of every channel to a service, sync or aio."""
    return [
        ("grpc.service_config", SERVICE_CONFIG),
        ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # Two processes may listen on one port in turn (a restart); a shared subchannel pool would remember the dead
        # one.
        ("grpc.use_local_subchannel_pool", 1),
    ]
