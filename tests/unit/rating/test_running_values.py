"""Recurring metrics keep their running value over every change of plan: by the pure domain, against the oracle."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import pytest

from tests.oracles.billing import shown
from tests.oracles.billing.story import play as by_the_oracle
from tests.support.accounts.memory import MemoryAccount
from tests.support.accounts.play import play, wrong
from tests.support.running_values import _STRIDE, AGGREGATIONS, CHANGES, TIMINGS, Cell, expected, sample, scenario


def differences(cell: Cell) -> list[str]:
    """What a cell comes to otherwise than by the oracle."""
    told, account = scenario(cell), MemoryAccount()
    worked_out = replace(told, invoices=expected(shown.invoices_of(by_the_oracle(told))))
    play(worked_out, account)
    return [f"{cell.name}: {text}" for text in wrong(worked_out, account)]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_before_and_after_never_mix(aggregation: str) -> None:
    """Whatever the charges before and after: what was used before runs on, and each day is billed under one plan."""
    found = [cell for cell in sample() if cell.aggregation == aggregation]
    assert [text for cell in found for text in differences(cell)] == []


def test_the_sample_has_every_change_at_every_time() -> None:
    """Of each aggregation."""
    assert gcd(_STRIDE, len(CHANGES) * len(TIMINGS)) == 1
    for aggregation in AGGREGATIONS:
        turns = {(cell.change, cell.timing) for cell in sample() if cell.aggregation == aggregation}
        assert len(turns) == len(CHANGES) * len(TIMINGS)
