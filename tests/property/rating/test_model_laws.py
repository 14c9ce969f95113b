"""The product against the oracle on random cases: a sample of `make model-check`, where there are 20,000 of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.oracles.model_check import prices
from tests.oracles.model_check.compare import calendar_differences, differences_of
from tests.oracles.model_check.histories import history
from tests.oracles.model_check.run import minimal
from tests.support.accounts.account import Invoice
from tests.support.accounts.memory import MemoryAccount

# A seed is no number that could be made smaller: the story that it tells is, by `smaller.py`.
sample = settings(phases=[Phase.generate], suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 10**9)


@pytest.mark.parametrize("sheet_of", [prices.price, history], ids=["prices", "histories"])
@settings(sample, max_examples=150)
@given(seed=seeds)
def test_the_product_bills_what_the_oracle_does(sheet_of: Callable[[int], dict[str, Any]], seed: int) -> None:
    """Whatever was sold, used and changed: every invoice, fee and credit note is the same, to the cent and the day."""
    sheet = sheet_of(seed)
    found = differences_of(sheet, MemoryAccount())
    if found:
        small = minimal(sheet, found, MemoryAccount)
        pytest.fail(f"seed {seed}: {yaml.safe_dump(small, sort_keys=False)}\n{differences_of(small, MemoryAccount())}")


class Dearer(MemoryAccount):
    """A product that is wrong by one cent."""

    def invoices(self) -> list[Invoice]:
        return [replace(invoice, total_cents=invoice.total_cents + 1) for invoice in super().invoices()]


def test_one_cent_is_found() -> None:
    """What differs is told by the smallest sheet that differs so: without events and changes, which it is not about."""
    sheet = history(0)
    assert sheet["events"]
    small = minimal(sheet, differences_of(sheet, Dearer()), Dearer)
    assert (small["events"], small["changes"]) == ([], [])
    assert differences_of(small, MemoryAccount()) == []
    assert differences_of(small, Dearer()) == ["invoice 1: total_cents is 1 by the product, 0 by the oracle"]


@settings(sample, max_examples=100)
@given(seed=seeds)
def test_periods_begin_where_the_oracle_begins_them(seed: int) -> None:
    """In every zone of the world, of every length, by calendar or anniversary, through every change of clocks."""
    assert calendar_differences(prices.calendar(seed)) == []
