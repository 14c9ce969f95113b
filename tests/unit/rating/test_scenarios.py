"""Every scenario through the pure domain: the same fees, to the cent, as through the services and over REST."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.accounts.memory import MemoryAccount
from tests.support.accounts.play import play, wrong
from tests.support.scenarios import read_scenario, scenario_files


@pytest.mark.parametrize("path", scenario_files(), ids=lambda path: path.stem)
def test_the_invoices_come_to_the_cent(path: Path) -> None:
    """The invoices are those of the price sheet."""
    scenario = read_scenario(path)
    account = MemoryAccount()
    play(scenario, account)
    assert wrong(scenario, account) == []
