"""Every reference case in memory, to the cent; what is not played is listed in docs/deviations.md."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.cases.cases import same
from tests.cases.register import (
    CASES,
    INCOMPLETE,
    LINKS,
    NOT_OVER_REST,
    NOT_PLAYED,
    NOT_SHOWN,
    link_of,
    listed,
    outcome,
    played,
    wrong,
)
from tests.support.accounts.memory import MemoryAccount


@pytest.mark.parametrize("case_id", played())
def test_case(case_id: str) -> None:
    """The domain arrives at the figures of the case."""
    assert wrong(case_id, outcome(case_id, MemoryAccount())) == ""


def test_cases_not_played_are_cases() -> None:
    """Nothing is excused twice, or under a name that no case has."""
    excused = listed(NOT_PLAYED, INCOMPLETE)
    assert len(excused) == len(set(excused))
    assert set(excused) <= CASES.keys()


def test_incomplete_cases_are_told_from_complete_ones() -> None:
    """A case with all of its inputs has another excuse than that it has not."""
    assert not any(CASES[case_id]["given_is_complete"] for case_id in listed(INCOMPLETE))
    assert all(CASES[case_id]["given_is_complete"] for case_id in listed(NOT_PLAYED))


def test_at_most_a_tenth_of_the_complete_cases_is_not_played() -> None:
    """Deviations stay exceptions."""
    complete = [case_id for case_id, case in CASES.items() if case["given_is_complete"]]
    assert len(listed(NOT_PLAYED)) * 10 <= len(complete)


def test_every_link_has_its_case() -> None:
    """A link whose case is renamed would silently play nothing."""
    assert LINKS.keys() <= CASES.keys() | {case["kind"] for case in CASES.values()}
    assert {link_of(CASES[case_id]) for case_id in played()} == set(LINKS.values())


def test_figures_not_shown_are_figures() -> None:
    """Nothing is excused that no case expects."""
    expected = {name for case in CASES.values() for name in case["expect"]}
    assert set(listed(NOT_SHOWN, NOT_OVER_REST)) <= expected


@pytest.mark.parametrize(
    ("expected", "actual", "name"),
    [
        ({"a": "1.50", "b": [1]}, {"a": Decimal("1.5"), "b": [1]}, ""),
        ("90.3225806", Decimal("90.32258064516"), "precise_amount_cents"),
        ("10.74", Decimal("10.7438"), "unit_amount_approx"),
        (["479.91802"], [Decimal("479.918005")], "precise_coupons"),
    ],
)
def test_a_right_figure_is_seen(expected: object, actual: object, name: str) -> None:
    """Numbers are compared by value, and as far as their source has them."""
    assert same(expected, actual, name)


@pytest.mark.parametrize(
    ("expected", "actual", "name"),
    [
        ("100", Decimal("100.4"), "amount"),
        (100, Decimal("100.4"), "amount_cents"),
        ("10.74", Decimal("10.7438"), "unit_amount"),
        ("90.3225806", Decimal("90.3225807"), "precise_amount_cents"),
        (["479.91802"], [Decimal("479.91805")], "precise_coupons"),
        ({"missing": 1}, {}, ""),
        ([1, 2], [1], ""),
        (1, True, ""),
        (None, 0, ""),
    ],
)
def test_a_wrong_figure_is_seen(expected: object, actual: object, name: str) -> None:
    """The comparison is not satisfied by anything."""
    assert not same(expected, actual, name)
