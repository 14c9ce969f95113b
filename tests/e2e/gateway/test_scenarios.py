"""Every scenario over REST: what is sold, what is used, what is changed, and the invoices it comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeGuard

import pytest

from farebox.testing import FareboxServer
from tests.support.accounts.play import play, wrong
from tests.support.accounts.rest import RestAccount
from tests.support.scenarios import read_scenario, scenario_files

PATHS = {path.stem: path for path in scenario_files()}
# A scenario mostly waits for a clock that every service follows; playing more at a time gains nothing on two cores.
PLAYED_AT_A_TIME = 4


def played(path: Path, server: FareboxServer) -> list[str]:
    """What differs from one file."""
    scenario = read_scenario(path)
    with RestAccount(server) as account:
        play(scenario, account)
        return wrong(scenario, account)


@pytest.fixture(scope="session")
def outcomes(
    farebox_server: FareboxServer, request: pytest.FixtureRequest
) -> Iterator[Mapping[str, Future[list[str]]]]:
    """What each of the selected scenarios comes to, played a few at a time."""
    selected = [str(item.callspec.params["name"]) for item in request.session.items if _is_a_scenario(item)]
    with ThreadPoolExecutor(PLAYED_AT_A_TIME) as pool:
        yield {name: pool.submit(played, PATHS[name], farebox_server) for name in selected}


def _is_a_scenario(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and item.function is test_the_invoices_come_to_the_cent


@pytest.mark.parametrize("name", sorted(PATHS))
def test_the_invoices_come_to_the_cent(name: str, outcomes: Mapping[str, Future[list[str]]]) -> None:
    """The same files that the pure domain and the services price."""
    assert outcomes[name].result() == []
