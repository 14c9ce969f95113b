"""Accrued revenue travels together, within what a message may hold."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.rating.v1 import domain_events_pb2 as pb
from services.kernel.ids import OrganizationId, SubscriptionId
from services.kernel.period import Period
from services.kernel.revenue import RevenueKind
from services.rating.announcements.billing import ENCODERS
from services.rating.invoicing.commands import revenue
from services.rating.invoicing.events import RevenueAccrued, RevenueEntry, RevenuesAccrued

MONTH = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))
ENTRY = RevenueEntry(RevenueKind.USAGE, MONTH, Decimal("1.5"), "calls")


def accrual(name: str, entries: int) -> RevenueAccrued:
    """What a subscription of that name earned, in so many entries."""
    organization, subscription = OrganizationId("o"), SubscriptionId(name)
    return RevenueAccrued(organization, "acme", subscription, "pro", "USD", MONTH, 1, (ENTRY,) * entries)


@given(st.lists(st.integers(0, 7), max_size=12))
def test_accruals_are_split_by_their_entries_alone(sizes: list[int]) -> None:
    """All of them, in order; a message has at most the bound, or one accrual, and is never empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(revenue, "MAX_ENTRIES", 5)
        accruals = [accrual(str(place), size) for place, size in enumerate(sizes)]
        messages = list(revenue.in_messages(accruals))
    assert [single for message in messages for single in message.accruals] == accruals
    for message in messages:
        assert len(message.accruals) == 1 or 0 <= sum(len(single.entries) for single in message.accruals) <= 5


def test_one_message_tells_of_many_subscriptions() -> None:
    """The first accrual is the message itself, as before; the others are in it."""
    subject, body = ENCODERS[RevenuesAccrued](RevenuesAccrued((accrual("a", 2), accrual("b", 1), accrual("c", 0))))
    message = pb.RevenueAccrued.FromString(body)
    assert subject == "rating.revenue.accrued"
    assert [message.subscription_id, *(other.subscription_id for other in message.others)] == ["a", "b", "c"]
    assert [len(single.entries) for single in (message, *message.others)] == [2, 1, 0]
