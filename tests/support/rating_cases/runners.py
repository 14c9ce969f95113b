"""Which runner plays a case over REST."""

from __future__ import annotations

from collections.abc import Mapping

from tests.rating_case_runner import Case
from tests.support.rating_cases.account import Runner
from tests.support.rating_cases.change_kinds import CHANGE_CASES
from tests.support.rating_cases.credit_kinds import CREDIT_KINDS
from tests.support.rating_cases.period_kinds import PERIOD_CASES, PERIOD_KINDS
from tests.support.rating_cases.usage_kinds import USAGE_CASES, USAGE_KINDS

# By the id of a case, or by its kind.
RUNNERS: Mapping[str, Runner] = {
    **USAGE_KINDS,
    **PERIOD_KINDS,
    **CREDIT_KINDS,
    **USAGE_CASES,
    **PERIOD_CASES,
    **CHANGE_CASES,
}
# Of a kind that is played, but not themselves.
NOT_PLAYED = frozenset({"commit-usage-1", "commit-usage-2", "pia-sum"})


def runner_of(case: Case) -> Runner | None:
    """What plays a case; None where nothing does."""
    if case["id"] in NOT_PLAYED:
        return None
    return RUNNERS.get(case["id"]) or RUNNERS.get(case["kind"])
