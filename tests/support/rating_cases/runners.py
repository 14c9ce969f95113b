"""Which runner plays a case through REST."""

from __future__ import annotations

from collections.abc import Mapping

from tests.rating_case_runner import Case
from tests.support.rating_cases.change_kinds import CHANGE_CASES
from tests.support.rating_cases.credit_kinds import CREDIT_KINDS
from tests.support.rating_cases.period_kinds import PERIOD_CASES, PERIOD_KINDS, Runner
from tests.support.rating_cases.usage_kinds import USAGE_KINDS

KINDS: Mapping[str, Runner] = {**USAGE_KINDS, **PERIOD_KINDS, **CREDIT_KINDS}
CASES: Mapping[str, Runner] = {**PERIOD_CASES, **CHANGE_CASES}


def runner_of(case: Case) -> Runner | None:
    """What plays a case; None where nothing does."""
    return CASES.get(case["id"]) or KINDS.get(case["kind"])
