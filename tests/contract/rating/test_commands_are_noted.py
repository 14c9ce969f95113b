"""Every command of rating leaves an entry in the audit log: by its decorator, or by its own call."""

from __future__ import annotations

import inspect

import pytest

from farebox.rating.v1 import invoice_service_pb2
from services.rating.rpc.invoice import InvoiceServicer
from tests.contract.rating.test_changes_are_said import SERVICERS as FOLLOWED
from tests.support.rating.commands import commands_of

SERVICERS = {**FOLLOWED, InvoiceServicer: invoice_service_pb2}
# A new organization has no log yet, and an advance of a test clock changes nothing by itself.
UNNOTED = {"CreateOrganization", "AdvanceTestClock"}


@pytest.mark.parametrize("servicer", SERVICERS, ids=lambda servicer: servicer.__name__)
def test_a_command_is_noted(servicer: type) -> None:
    """A new one is decorated or calls `note`, or is named above for a reason."""
    commands = commands_of(servicer, SERVICERS[servicer])
    sources = {command: inspect.getsource(inspect.unwrap(getattr(servicer, command))) for command in commands}
    silent = {command for command, source in sources.items() if "@command(" not in source and "note(self" not in source}
    assert silent == commands & UNNOTED
