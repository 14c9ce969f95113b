"""Every reference case that has dates, and what else can be played, over REST with the test clock, to the cent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from examples.story.operator import Tenant
from services.chassis.stack import Stack
from tests.rating_case_runner import load_cases, same
from tests.support.deviations import INCOMPLETE, NOT_IN_THE_DOMAIN, NOT_OVER_REST, listed
from tests.support.rating_cases.account import Account, CaseRest
from tests.support.rating_cases.runners import RUNNERS, runner_of

CASES = {case["id"]: case for case in load_cases()}
DATED = {case_id for case_id, case in CASES.items() if re.search(r"\d{4}-\d{2}-\d{2}", json.dumps(case["given"]))}
PLAYED = {case_id for case_id, case in CASES.items() if runner_of(case) is not None}


@pytest.mark.parametrize("case_id", sorted(PLAYED))
def test_case(case_id: str, stack: Stack, tenant_of: Callable[..., Tenant]) -> None:
    """The suite arrives at the figures of the case."""
    case: dict[str, Any] = CASES[case_id]
    runner = runner_of(case)
    assert runner is not None
    tenant = tenant_of(default_currency="EUR")
    with CaseRest(stack.http_url, tenant.secret_key) as rest:
        actual = runner(case, Account(rest))
    assert same(case["expect"], actual), f"expected {case['expect']}, got {actual}"


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
