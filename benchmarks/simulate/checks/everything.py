"""All checks, over one consistent look at the database."""

from __future__ import annotations

from benchmarks.simulate.checks.base_price import check_base_price, check_days
from benchmarks.simulate.checks.invoices import check_invoices
from benchmarks.simulate.checks.ledger import read_ledger
from benchmarks.simulate.checks.periods import check_periods
from benchmarks.simulate.checks.usage import check_usage
from benchmarks.simulate.play import Played


def check(played: Played) -> list[str]:
    """What does not hold; empty if everything does."""
    currencies = {str(market.organization): market.currency for market in played.world.markets}
    with played.world.deps.db.worker_transaction(quiet=True) as tx:
        ledger = read_ledger(tx, played)
        return [
            *check_periods(ledger),
            *check_base_price(ledger, currencies),
            *check_days(ledger),
            *check_usage(tx, ledger, played.usage, played.world.feed.quarantined.values()),
            *check_invoices(tx, ledger.now, played.snapshots),
        ]
