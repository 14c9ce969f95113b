"""Followers let few messages gather, so that a transaction's own cost is shared; nobody waits for long."""

from __future__ import annotations

from services.chassis.follower import FEW_BYTES, GATHER_TIMES, MAX_GATHER_SECONDS, gather_seconds


def test_whoever_comes_alone_keeps_nobody_waiting() -> None:
    """A test clock's announcements, and a lone event, pass from service to service at once."""
    assert gather_seconds(1, 500, 0.01) == gather_seconds(0, 0, 0.01) == 0


def test_full_transactions_follow_one_another_at_once() -> None:
    assert gather_seconds(200, FEW_BYTES, 0.2) == 0


def test_after_few_messages_the_next_ones_gather_for_a_while_that_is_bounded() -> None:
    assert gather_seconds(2, 900, 0.004) == 0.004 * GATHER_TIMES
    assert gather_seconds(20, 9_000, 1.0) == MAX_GATHER_SECONDS
