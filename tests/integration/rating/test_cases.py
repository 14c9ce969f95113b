"""Every reference case by rating's commands on PostgreSQL, to the cent; what they invoice is what the log gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cases.register import outcome, played, wrong
from tests.support.accounts.commands import CommandsAccount


@pytest.mark.parametrize("case_id", played())
def test_case(case_id: str, new_account: Callable[[], CommandsAccount]) -> None:
    """The commands arrive at the figures of the case, and the log gives the invoices again."""
    account = new_account()
    assert wrong(case_id, outcome(case_id, account)) == ""
    assert account.unlike_the_log() == []
