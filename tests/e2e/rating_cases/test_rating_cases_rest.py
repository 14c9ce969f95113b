"""Every reference case that has dates, and what else can be played, over REST with the test clock, to the cent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeGuard

import pytest

from farebox.testing import FareboxServer
from tests.rating_case_runner import load_cases, same
from tests.support.deviations import INCOMPLETE, NOT_IN_THE_DOMAIN, NOT_OVER_REST, listed
from tests.support.rating_cases.account import CURRENCY, Account, CaseRest
from tests.support.rating_cases.runners import RUNNERS, runner_of

CASES = {case["id"]: case for case in load_cases()}
DATED = {case_id for case_id, case in CASES.items() if re.search(r"\d{4}-\d{2}-\d{2}", json.dumps(case["given"]))}
PLAYED = {case_id for case_id, case in CASES.items() if runner_of(case) is not None}


# Most of a case is waiting for a clock that every service follows; more at a time gain nothing on two cores.
PLAYED_AT_A_TIME = 4

Figures = dict[str, object]


def play(case: dict[str, Any], server: FareboxServer) -> Figures:
    """Play a case on a fresh organization; the figures it comes to."""
    runner = runner_of(case)
    assert runner is not None
    organization = server.new_organization(case["id"], default_currency=CURRENCY)
    with CaseRest(organization.url, organization.secret_key) as rest:
        return runner(case, Account(rest))


@pytest.fixture(scope="session")
def figures(farebox_server: FareboxServer, request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[Figures]]]:
    """What each of the selected cases comes to, played a few at a time."""
    selected = [str(item.callspec.params["case_id"]) for item in request.session.items if _is_a_case(item)]
    with ThreadPoolExecutor(PLAYED_AT_A_TIME) as pool:
        yield {case_id: pool.submit(play, CASES[case_id], farebox_server) for case_id in selected}


def _is_a_case(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and item.function is test_case


@pytest.mark.parametrize("case_id", sorted(PLAYED))
def test_case(case_id: str, figures: Mapping[str, Future[Figures]]) -> None:
    """The suite arrives at the figures of the case."""
    expected, actual = CASES[case_id]["expect"], figures[case_id].result()
    assert same(expected, actual), f"expected {expected}, got {actual}"


def test_dated_cases_not_played_are_those_documented() -> None:
    """Nothing with dates is left out without a reason, and nothing is excused that is played."""
    documented = listed(NOT_OVER_REST)
    assert len(documented) == len(set(documented))
    excused_before = set(listed(NOT_IN_THE_DOMAIN, INCOMPLETE))
    assert DATED - PLAYED - excused_before == set(documented)


def test_at_most_a_tenth_of_the_complete_dated_cases_is_not_played() -> None:
    """Deviations stay exceptions."""
    complete = {case_id for case_id in DATED if CASES[case_id]["given_is_complete"]}
    assert len(complete - PLAYED) * 10 <= len(complete)


def test_every_runner_has_its_case() -> None:
    """A runner whose case is renamed would silently play nothing."""
    assert set(RUNNERS) <= CASES.keys() | {case["kind"] for case in CASES.values()}
