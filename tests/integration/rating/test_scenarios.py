"""Every scenario through rating's commands on real PostgreSQL: the same fees, to the cent, as by the pure domain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.accounts.commands import CommandsAccount
from tests.support.accounts.play import play, wrong
from tests.support.scenarios import read_scenario, scenario_files


@pytest.mark.parametrize("path", scenario_files(), ids=lambda path: path.stem)
def test_the_invoices_come_to_the_cent(path: Path, new_account: Callable[[], CommandsAccount]) -> None:
    """The invoices are those of the price sheet, and the log gives them again."""
    scenario, account = read_scenario(path), new_account()
    play(scenario, account)
    assert wrong(scenario, account) == []
    assert account.unlike_the_log() == []
