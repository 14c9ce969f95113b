"""The reference cases over REST with the test clock, to the cent; those about a price alone are played below REST."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeGuard

import pytest

from farebox.testing import FareboxServer
from tests.cases.cases import Figures
from tests.cases.register import CASES, NOT_OVER_REST, PRICE_KINDS, listed, outcome, played, wrong
from tests.support.accounts.rest import RestAccount

PLAYED = [case_id for case_id in played() if CASES[case_id]["kind"] not in PRICE_KINDS]
UNSEEN = frozenset(listed(NOT_OVER_REST))
# A case mostly waits for a clock that every service follows; playing more at a time gains nothing on two cores.
PLAYED_AT_A_TIME = 4


def play(case_id: str, server: FareboxServer) -> Figures:
    """Play a case on a fresh organization; the figures it comes to."""
    with RestAccount(server) as account:
        return outcome(case_id, account)


@pytest.fixture(scope="session")
def figures(farebox_server: FareboxServer, request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[Figures]]]:
    """What each of the selected cases comes to, played a few at a time."""
    selected = [str(item.callspec.params["case_id"]) for item in request.session.items if _is_a_case(item)]
    with ThreadPoolExecutor(PLAYED_AT_A_TIME) as pool:
        yield {case_id: pool.submit(play, case_id, farebox_server) for case_id in selected}


def _is_a_case(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and item.function is test_case


@pytest.mark.parametrize("case_id", PLAYED)
def test_case(case_id: str, figures: Mapping[str, Future[Figures]]) -> None:
    """The suite arrives at the figures of the case."""
    assert wrong(case_id, figures[case_id].result(), UNSEEN) == ""
