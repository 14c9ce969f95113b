"""What rating's commands and queries are given: built once in `main.py` and passed as an argument."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import Connection

from services.chassis.db import Database
from services.kernel.clock import Clock
from services.kernel.ids import OrganizationId
from services.rating.shared.usage_log import UsageLog

# Half of the threads that serve calls: calls that move clocks must leave threads to other calls.
MAX_LONG_CALLS = 16
# The newest batch number of each shard of the usage-event log.
ShardPositions = Callable[[], Mapping[int, int]]
# Of an organization's codes, those that are a feature's.
KnownFeatures = Callable[[OrganizationId, Collection[str]], Collection[str]]
Announce = Callable[[Connection, Any], None]
AnnounceAll = Callable[[Connection, Sequence[Any]], None]


@dataclass(frozen=True, slots=True)
class Deps:
    """Dependencies of a command.

    Attributes:
        db: rating's database.
        clock: the machine's time; an organization's time is `organizations.clock_store.now_of`.
        announce: writes a domain event into the outbox of the caller's transaction.
        announce_all: the same for many at once.
        pepper: the secret with which API keys are hashed.
        shard_positions: asks ingest for the newest batch of each shard; raises UnavailableError.
        known_features: asks entitlements which of some codes are codes of features; raises UnavailableError.
        usage_log: lists usage events from ingest.
        is_audited: whether commands are noted in the audit log (chassis.audit).
        clock_followers: services that must have reached a test clock's time before its advance is answered.
        newest_change: the number in rating's log by which every change of an organization until now is announced;
            None where it cannot be said.
        long_calls: how many calls that may take minutes run at once in this process.
    """

    db: Database
    clock: Clock
    announce: Announce
    announce_all: AnnounceAll
    pepper: str
    shard_positions: ShardPositions
    usage_log: UsageLog
    known_features: KnownFeatures
    newest_change: Callable[[OrganizationId], int | None]
    is_audited: bool = True
    clock_followers: tuple[str, ...] = ("ingest", "entitlements", "margin")
    long_calls: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MAX_LONG_CALLS))
