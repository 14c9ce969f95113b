"""What commands, queries and servicers are given; built once in `main`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from services.chassis.db import Database
from services.entitlements.domain.event import DomainEvent
from services.entitlements.memory.memory import Memory
from services.kernel.clock import Clock


@dataclass(frozen=True)
class Deps:
    """The dependencies of this service.

    Attributes:
        db: its database.
        clock: the machine's time; an organization with a test clock has its own.
        announce: writes domain events into the outbox, in their order and in the caller's transaction.
        memory: what this replica remembers of where customers stand.
    """

    db: Database
    clock: Clock
    announce: Callable[[Connection, Sequence[DomainEvent]], None]
    memory: Memory
