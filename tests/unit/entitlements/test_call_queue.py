"""Calls that wait: one transaction of an organization at a time, everybody in turn, no repeat beside its first."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from farebox.entitlements.v1 import access_service_pb2 as pb
from services.entitlements.commands.together import MAX_TOGETHER, Call, CallQueue
from services.entitlements.domain.counting import Release
from services.kernel.errors import UnavailableError
from services.kernel.ids import OrganizationId
from tests.support.patience import PATIENCE_SECONDS

OURS, THEIRS = OrganizationId("ours"), OrganizationId("theirs")


def call(request_id: str, organization: OrganizationId = OURS) -> Call:
    receipt: asyncio.Future[Any] = asyncio.Future(loop=asyncio.new_event_loop())
    request = pb.ReleaseRequest(request_id=request_id)
    return Call(organization, request, Release(""), lambda _: None, pb.ReleaseResponse.FromString, receipt)


def filled(*calls: Call) -> CallQueue:
    queue = CallQueue()
    for waiting in calls:
        queue.put(waiting)
    return queue


def ids(calls: Any) -> list[str]:
    return [waiting.request.request_id for waiting in calls]


def test_what_came_meanwhile_goes_together() -> None:
    """Of the organization that has waited longest; the other one does not wait for it."""
    queue = filled(call("1"), call("a", THEIRS), call("2"))
    ours, theirs = queue.take(()), queue.take(())
    assert (ids(ours), ids(theirs)) == (["1", "2"], ["a"])
    for later in (call("3"), call("b", THEIRS), call("4")):
        queue.put(later)
    assert ids(queue.take(theirs)) == ["b"]
    assert ids(queue.take(ours)) == ["3", "4"]


def test_a_repeat_waits_for_its_first() -> None:
    """In the order in which they came, and another method's id is another id."""
    queue = filled(call("1"), call("1"), call("2"), call("1"))
    first = queue.take(())
    assert ids(first) == ["1", "2"]
    second = queue.take(first)
    assert ids(second) == ["1"]
    assert ids(queue.take(second)) == ["1"]


def test_no_transaction_is_too_large() -> None:
    queue = filled(*(call(str(n)) for n in range(MAX_TOGETHER + 1)))
    first = queue.take(())
    assert len(first) == MAX_TOGETHER
    assert ids(queue.take(first)) == [str(MAX_TOGETHER)]


def test_closing() -> None:
    """Who waits is counted, who comes later is refused, and lines end."""
    queue = filled(call("1"))
    queue.close()
    with pytest.raises(UnavailableError):
        queue.put(call("2"))
    taken = queue.take(())
    assert ids(taken) == ["1"]
    assert queue.take(taken) == []


def test_a_line_waits_until_there_is_something() -> None:
    queue, taken = CallQueue(), []
    line = threading.Thread(target=lambda: taken.extend(queue.take(())))
    line.start()
    queue.put(call("1"))
    line.join(PATIENCE_SECONDS)
    assert ids(taken) == ["1"]
