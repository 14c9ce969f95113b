"""Why an event can or cannot be billed."""

from __future__ import annotations

import pytest

from services.ingest.domain.billability import (
    FOREVER_US,
    Metric,
    Needs,
    Reason,
    Subscription,
    find_subscription,
    missing_property,
)
from services.ingest.domain.usage_event import UsageEvent

OLD = Subscription("1", "sub", "acme", 100, 200)
NEW = Subscription("2", "sub", "acme", 200, FOREVER_US)
SIDE = Subscription("3", "side", "acme", 150, FOREVER_US)


def _event(customer: str, subscription: str) -> UsageEvent:
    return UsageEvent("id", customer, subscription, "code", None, b"{}", None)


@pytest.mark.parametrize(
    ("customer", "named", "candidates", "at_us", "expected"),
    [
        ("acme", "", [OLD, NEW], 199, "1"),
        ("acme", "", [OLD, NEW], 200, "2"),  # the instant of the change belongs to the new one
        ("acme", "", [OLD, NEW], 99, "SUBSCRIPTION_NOT_ACTIVE"),
        ("acme", "", [NEW, SIDE], 300, "SUBSCRIPTION_AMBIGUOUS"),
        ("acme", "side", [SIDE], 300, "3"),
        ("", "side", [SIDE], 300, "3"),
        ("globex", "side", [SIDE], 300, "SUBSCRIPTION_NOT_FOUND"),
        ("acme", "", [], 300, "SUBSCRIPTION_NOT_FOUND"),
    ],
)
def test_one_subscription(customer: str, named: str, candidates: list[Subscription], at_us: int, expected: str) -> None:
    found = find_subscription(_event(customer, named), candidates, at_us)
    assert (found.reason if isinstance(found, Reason) else found.subscription_id) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"12", None),
        (b'"1e3"', None),
        (b'"+1"', None),
        (b'".5"', None),
        (b"-0.25", None),
        (b"9" * 15, None),
        (b"-" + b"9" * 15, None),
        (b"1" + b"0" * 15, None),
        (b"1e15", None),
        (b"-1e15", None),
        (b'"1000000000000000.000"', None),
        # No event reports more than 1e15 units, however they are written.
        (b"1000000000000001", "VALUE_TOO_LARGE"),
        (b"-1000000000000001", "VALUE_TOO_LARGE"),
        (b"1000000000000000.5", "VALUE_TOO_LARGE"),
        (b"1e18", "VALUE_TOO_LARGE"),
        (b"1e30", "VALUE_TOO_LARGE"),
        (b"9" * 32, "VALUE_TOO_LARGE"),
        (b"1e999999999", "VALUE_TOO_LARGE"),
        (b"0." + b"1" * 39, "VALUE_TOO_LARGE"),
        (b'""', "PROPERTY_MISSING"),
        (b"null", "PROPERTY_MISSING"),
        (b'" 12"', "PROPERTY_NOT_NUMERIC"),
        (b"true", "PROPERTY_NOT_NUMERIC"),
        ('"١٢"'.encode(), "PROPERTY_NOT_NUMERIC"),
    ],
)
def test_numbers(raw: bytes, expected: str | None) -> None:
    reason = missing_property(Metric("code", Needs.NUMBER, "tokens"), raw)
    assert (reason and reason.reason) == expected
