"""Recurring metrics keep their running value over changes of plan, on real SQL: cells of the matrix.

More of them are played in memory (tests/unit/rating/test_running_values.py). Here are those in which SQL, and not the
domain, decides what is carried: from the metric's total, bucket by bucket, and from the log; late events, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.oracles.billing import shown
from tests.oracles.billing.story import play as by_the_oracle
from tests.support.accounts.commands import CommandsAccount
from tests.support.accounts.play import play, wrong
from tests.support.running_values import Cell, expected, scenario

CELLS = [
    Cell("sum", "standard", "prorated", "upgrade", "late"),
    Cell("sum", "standard", "grouped", "upgrade", "late"),
    Cell("sum", "grouped", "tiered_groups", "upgrade_at_midnight", "late"),
    Cell("sum", "filtered", "refiltered", "version", "voided"),
    Cell("sum", "prorated_groups", "prorated_groups", "version", "late"),
    Cell("sum", "none", "allowance", "downgrade", "late"),
    Cell("sum", "filtered", "none", "upgrade_as_a_period_begins", "used"),
    Cell("sum", "bounds", "prorated_filters", "into_trial", "late"),
    Cell("distinct", "filtered_groups", "filtered_groups", "upgrade", "late"),
    Cell("distinct", "standard", "filtered_groups", "into_trial", "voided"),
    Cell("distinct", "grouped", "refiltered", "downgrade", "late"),
    Cell("weighted", "grouped", "filtered", "to_yearly", "late"),
    Cell("weighted", "filtered", "grouped", "into_trial", "used"),
    Cell("sum", "grouped", "filtered", "there_and_back", "late"),
    Cell("distinct", "filtered", "standard", "back_at_once", "late"),
    Cell("sum", "grouped", "none", "downgrade", "voided"),
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_before_and_after_never_mix(cell: Cell, new_account: Callable[[], CommandsAccount]) -> None:
    """What was used before runs on, each day is billed under one plan, and the log gives the invoices again."""
    told, account = scenario(cell), new_account()
    worked_out = replace(told, invoices=expected(shown.invoices_of(by_the_oracle(told))))
    play(worked_out, account)
    assert wrong(worked_out, account) == []
    assert account.unlike_the_log() == []
