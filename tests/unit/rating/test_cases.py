"""Every reference case through the pure domain, to the cent; what is not run is listed in docs/deviations.md."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rating_case_billing_runner import billing_runners
from tests.rating_case_invoice_runner import invoice_runners
from tests.rating_case_runner import charge_runners, load_cases, same
from tests.support.deviations import INCOMPLETE, NOT_IN_THE_DOMAIN, listed

CASES = {case["id"]: case for case in load_cases()}
NOT_RUN = {
    "alert-2",
    "alert-3",
    "commit-usage-1",
    "commit-usage-2",
    "ev-10",
    "ev-2",
    "ev-3",
    "ev-5",
    "ev-6",
    "grace-credit-flow",
    "prog-2",
    "prog-4",
    "prog-6",
    "term-noinvoice",
    "term-pia-sameday-usage",
    "trial-terminate",
    "wallet-2",
    "wallet-5",
}
RUNNERS = charge_runners() | invoice_runners() | billing_runners()


@pytest.mark.parametrize("case_id", sorted(set(CASES) - NOT_RUN))
def test_case(case_id: str) -> None:
    """The domain arrives at the figures of the case."""
    case: dict[str, Any] = CASES[case_id]
    actual = RUNNERS[case["kind"]](case)
    assert same(case["expect"], actual), f"expected {case['expect']}, got {actual}"


def test_cases_not_run_are_those_documented() -> None:
    """Nothing is left out without a reason, and nothing is excused that is run."""
    documented = listed(NOT_IN_THE_DOMAIN, INCOMPLETE)
    assert len(documented) == len(set(documented))
    assert set(documented) == NOT_RUN


def test_at_most_a_tenth_of_the_complete_cases_is_not_run() -> None:
    """Deviations stay exceptions."""
    complete = {case_id for case_id, case in CASES.items() if case["given_is_complete"]}
    assert len(complete & NOT_RUN) * 10 <= len(complete)


def test_a_wrong_figure_is_seen() -> None:
    """The comparison is not satisfied by anything."""
    assert same({"a": "1.50", "b": [1]}, {"a": 1, "b": [1]}) is False
    assert same({"missing": 1}, {}) is False
