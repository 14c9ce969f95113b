"""What margin's commands and queries are given; built once in `main`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from services.chassis.db import Database
from services.kernel.clock import Clock
from services.margin.domain.price import PriceBook
from services.margin.domain.projection import ClockReached

Announce = Callable[[Connection, ClockReached], None]


@dataclass(frozen=True)
class Deps:
    """What every command and query may use.

    Attributes:
        db: margin's database.
        clock: the machine's time; organizations with a test clock have their own.
        announce: writes a domain event into the outbox, in the transaction it is given.
        prices: the imported price catalog.
    """

    db: Database
    clock: Clock
    announce: Announce
    prices: PriceBook
