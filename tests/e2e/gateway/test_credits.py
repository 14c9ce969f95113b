"""Credits over REST, read by the unmodified nozle-sdk."""

from __future__ import annotations

from typing import Any

import pytest
from nozle import Nozle
from nozle.errors import NozleAPIError

from farebox.testing import Rest

BALANCE = "/customers/cust%2F1/credit-systems/ai/balance"


@pytest.fixture
def given(rest: Rest) -> Rest:
    """A customer with 10 bought credits that expire, and 5 given ones that do not."""
    rest.post("/test_clock", {"now": "2024-05-01T00:00:00Z"})
    rest.post("/credit-systems", {"credit_system": {"code": "ai", "name": "AI credits", "unit_name": "credit"}})
    bought = {"credit_system": "ai", "amount": "10", "source": "top_up", "expires_at": "2024-06-01T00:00:00Z"}
    rest.post("/customers/cust%2F1/credit-grants", {"credit_grant": {**bought, "reference": "inv_1"}})
    rest.post(
        "/customers/cust%2F1/credit-grants", {"credit_grant": {"credit_system": "ai", "amount": "5.000000000001"}}
    )
    return rest


def deduct(rest: Rest, amount: str) -> Any:
    return rest.post("/customers/cust%2F1/credit-systems/ai/deductions", {"deduction": {"amount": amount}})


def test_the_sdk_reads_what_is_left(nozle: Nozle, given: Rest) -> None:
    """Balances are exact texts, source by source in the order in which they are burned; what expires is lost."""
    assert [(system["code"], system["status"]) for system in nozle.credit_systems.list()] == [("ai", "active")]
    assert deduct(given, "4.5")["remaining"] == "10.500000000001"
    balance = nozle.credits.get_balance("cust/1", "ai")
    assert (balance["available"], balance["unit_name"]) == ("10.500000000001", "credit")
    told = [(source["type"], source["initial"], source["remaining"]) for source in balance["sources"]]
    assert told == [("top_up", "10", "5.5"), ("manual_grant", "5.000000000001", "5.000000000001")]
    assert deduct(given, "11") == {
        "allowed": False,
        "remaining": "10.500000000001",
        "deductions": [],
        "replayed": False,
    }
    given.post("/test_clock/advance", {"to": "2024-06-02T00:00:00Z"})
    (after,) = nozle.credits.list_balances("cust/1")["balances"]
    assert after["available"] == "5.000000000001"
    assert nozle.credits.list_balances("nobody")["balances"] == []


def test_an_unknown_kind_of_credits_is_not_found(nozle: Nozle, given: Rest) -> None:
    """The SDK is told by a 404, not by an empty balance."""
    with pytest.raises(NozleAPIError) as refusal:
        nozle.credits.get_balance("cust/1", "gold")
    assert refusal.value.status_code == 404
