"""The shards of the usage-event log: how many there are, and the names under which followers keep their positions."""

from __future__ import annotations

# Fixed when a deployment is created: a customer's events are in one shard forever (architecture, decision 9).
SHARD_COUNT = 16


def log_name(shard: int) -> str:
    """The name under which a service keeps its position in a shard."""
    return f"usage.{shard}"


SHARD_OF_LOG = {log_name(shard): shard for shard in range(SHARD_COUNT)}
"""The shard of each such name."""
