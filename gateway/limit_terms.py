"""How much may be asked of one gateway process: what is counted, and the defaults (gateway.limits counts)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# The windows of the budgets of expensive calls.
BUDGET_SECONDS = 60
# Ten expensive calls a second: more than a person or a test asks for, fewer than keep the services from other work.
BUDGET = 600


class Budget(StrEnum):
    """Calls that cost so much that an organization has a budget of its own for them.

    CLOCK: test clocks, which do everything that is due on the way. DOCUMENTS: PDFs, which are drawn. FORECASTS: usage
    that is projected, and rebuilt or explained from the log.
    """

    CLOCK = "clock"
    DOCUMENTS = "documents"
    FORECASTS = "forecasts"


@dataclass(frozen=True)
class Terms:
    """The limits; 0 means none. The settings of the gateway say them (gateway.config).

    Attributes:
        seconds: the length of the windows of keys and organizations.
        key, organization: requests in such a window.
        budgets: expensive calls of an organization in a minute.
    """

    seconds: int = 10
    key: int = 100_000
    organization: int = 200_000
    budgets: tuple[tuple[Budget, int], ...] = tuple((budget, BUDGET) for budget in Budget)
