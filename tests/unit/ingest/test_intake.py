"""Callers share the way into the log, and each gets the answers to its own events only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from services.ingest.domain.outcome import Outcome, Receipt
from services.ingest.domain.usage_events import MAX_EVENTS
from services.ingest.pipeline import intake as intake_module
from services.ingest.pipeline.intake import BATCH_EVENTS, MAX_STREAMS, RETRY_AFTER_SECONDS
from services.kernel.errors import InvalidArgumentError, ResourceExhaustedError, UnavailableError
from services.kernel.ids import OrganizationId, new_id
from services.kernel.instant import to_us
from tests.support.ingest.intake import NOW, FakeLog, batch, stored, take
from tests.support.patience import PATIENCE_SECONDS

ONE, OTHER = OrganizationId(new_id()), OrganizationId(new_id())
Body = Callable[[FakeLog], Awaitable[None]]


def _run(body: Body) -> None:
    """Run a test on an event loop of its own."""

    async def run() -> None:
        with ThreadPoolExecutor(1) as pool:
            await asyncio.wait_for(body(FakeLog(asyncio.get_running_loop(), pool)), PATIENCE_SECONDS)

    asyncio.run(run())


async def _submitted(log: FakeLog, count: int) -> None:
    """Wait until this many batches are submitted."""
    arrived = asyncio.Event()
    log.committer.on_submit = arrived.set
    while len(log.committer.submitted) < count:
        arrived.clear()
        await arrived.wait()


async def _turn() -> None:
    """Let everything run that is due now."""
    for _ in range(5):
        await asyncio.sleep(0)


def _take(log: FakeLog, *ids: str, organization: OrganizationId = ONE) -> asyncio.Future[Receipt]:
    return take(log.intake, organization, batch(*ids))


def _stored(*ids: str) -> Receipt:
    return Receipt([stored(transaction_id) for transaction_id in ids], to_us(NOW), to_us(NOW))


def _outcomes(receipt: Receipt) -> list[str]:
    return [answer.reason if answer.outcome is Outcome.ACCEPTED else answer.outcome.name for answer in receipt.answers]


def test_a_lone_call_does_not_wait_for_company() -> None:
    async def body(log: FakeLog) -> None:
        answers = _take(log, "a", "b")
        assert log.committer.ids() == [["a", "b"]]
        log.committer.commit(*log.committer.submitted)
        assert await answers == _stored("a", "b")

    _run(body)


def test_calls_that_come_during_a_commit_travel_on_together() -> None:
    async def body(log: FakeLog) -> None:
        first = _take(log, "a")
        later = [_take(log, "b", "c"), _take(log, "d"), _take(log, "e", "f", "g")]
        other = _take(log, "a", organization=OTHER)
        await _turn()
        assert log.committer.ids() == [["a"]]
        log.committer.commit(log.committer.submitted[0])
        assert await first == _stored("a")
        # One batch for each organization, with the callers in the order in which they came.
        assert log.committer.ids()[1:] == [["b", "c", "d", "e", "f", "g"], ["a"]]
        owners = [submission.organization for submission in log.committer.submitted]
        assert owners == [ONE, ONE, OTHER]
        assert not any(call.done() for call in (*later, other))
        log.committer.commit(*log.committer.submitted[1:])
        assert [await call for call in later] == [_stored("b", "c"), _stored("d"), _stored("e", "f", "g")]
        assert await other == _stored("a")

    _run(body)


def test_every_call_gets_its_own_slice_with_its_refused_events_in_place() -> None:
    async def body(log: FakeLog) -> None:
        _take(log, "first")
        calls = [_take(log, "a", "", "b"), _take(log, ""), _take(log, "", "", "c"), _take(log, "d")]
        log.committer.commit(log.committer.submitted[0])
        await _submitted(log, 2)
        assert log.committer.ids()[1] == ["a", "b", "c", "d"]
        log.committer.commit(log.committer.submitted[1])
        assert [_outcomes(await call) for call in calls] == [
            ["a", "REJECTED", "b"],
            ["REJECTED"],
            ["REJECTED", "REJECTED", "c"],
            ["d"],
        ]
        assert [answer.field for answer in calls[0].result().answers] == ["", "transaction_id", ""]

    _run(body)


def test_a_call_without_a_good_event_is_answered_without_a_commit() -> None:
    async def body(log: FakeLog) -> None:
        assert _outcomes(await _take(log, "", "")) == ["REJECTED", "REJECTED"]
        assert log.committer.submitted == []
        # It blocks nobody.
        _take(log, "a")
        await _submitted(log, 1)

    _run(body)


def test_a_failed_commit_is_its_organizations_alone() -> None:
    async def body(log: FakeLog) -> None:
        first = _take(log, "first")
        calls = [_take(log, "a"), _take(log, "b", organization=OTHER), _take(log, "c")]
        log.committer.commit(log.committer.submitted[0])
        await first
        mine, others = log.committer.submitted[1:]
        log.committer.give_up(UnavailableError("AWAY", "the log is away"), mine)
        log.committer.commit(others)
        assert await calls[1] == _stored("b")
        for call in (calls[0], calls[2]):
            with pytest.raises(UnavailableError):
                await call

    _run(body)


@pytest.mark.parametrize("error", [UnavailableError("AWAY", "the catalog is away"), ValueError("a bug")])
def test_what_cannot_be_prepared_is_its_organizations_alone(error: Exception) -> None:
    async def body(log: FakeLog) -> None:
        first = _take(log, "first")
        log.preparer.broken[ONE] = error
        calls = [_take(log, "a"), _take(log, "b", organization=OTHER), _take(log, "c")]
        log.committer.commit(log.committer.submitted[0])
        await first
        log.committer.commit(*log.committer.submitted[1:])
        assert await calls[1] == _stored("b")
        for call in (calls[0], calls[2]):
            with pytest.raises(type(error)):
                await call

    _run(body)


def test_a_full_queue_is_an_answer_not_the_end() -> None:
    async def body(log: FakeLog) -> None:
        log.committer.refusal = ResourceExhaustedError("INGEST_QUEUE_FULL", "later", retry_after_seconds=1)
        for size in (1, BATCH_EVENTS):
            with pytest.raises(ResourceExhaustedError):
                await _take(log, *map(str, range(size)))
        log.committer.refusal, log.committer.commits_at_once = None, True
        assert await _take(log, "a") == _stored("a")

    _run(body)


def test_one_call_at_fault_is_found_and_its_neighbours_are_stored() -> None:
    async def body(log: FakeLog) -> None:
        first = _take(log, "first")
        calls = [_take(log, "a"), _take(log, "b", "poison"), _take(log, "c")]
        log.preparer.poison["poison"] = ValueError("a bug")
        log.committer.commit(log.committer.submitted[0])
        await first
        with pytest.raises(ValueError, match="a bug"):
            await calls[1]
        log.committer.commit(*log.committer.submitted[1:])
        assert [await calls[0], await calls[2]] == [_stored("a"), _stored("c")]

    _run(body)


def test_one_call_at_fault_in_a_commit_is_found_too() -> None:
    async def body(log: FakeLog) -> None:
        first = _take(log, "first")
        calls = [_take(log, "a"), _take(log, "b")]
        log.committer.commit(log.committer.submitted[0])
        await first
        log.committer.give_up(ValueError("a bug"), log.committer.submitted[1])
        await _submitted(log, 4)
        assert log.committer.ids()[2:] == [["a"], ["b"]]
        log.committer.give_up(ValueError("a bug"), log.committer.submitted[3])
        log.committer.commit(log.committer.submitted[2])
        assert await calls[0] == _stored("a")
        with pytest.raises(ValueError, match="a bug"):
            await calls[1]

    _run(body)


@pytest.mark.parametrize("during", ["gathering", "commit"])
@pytest.mark.parametrize("is_given_up", [False, True])
def test_a_caller_that_leaves_does_not_disturb_its_neighbours(during: str, is_given_up: bool) -> None:  # noqa: FBT001
    async def body(log: FakeLog) -> None:
        first = _take(log, "first")
        before, leaving, after = _take(log, "a", ""), _take(log, "b", "c"), _take(log, "", "d")
        if during == "gathering":
            leaving.cancel()
        log.committer.commit(log.committer.submitted[0])
        await first
        await _submitted(log, 2)
        leaving.cancel()
        if is_given_up:
            log.committer.give_up(UnavailableError("AWAY", "the log is away"), log.committer.submitted[1])
            for call in (before, after):
                with pytest.raises(UnavailableError):
                    await call
        else:
            log.committer.commit(log.committer.submitted[1])
            assert [_outcomes(await call) for call in (before, after)] == [["a", "REJECTED"], ["REJECTED", "d"]]
        assert leaving.cancelled()
        # The way is free for the next one.
        _take(log, "z")
        await _submitted(log, 3)

    _run(body)


def test_a_call_with_many_events_waits_for_no_commit() -> None:
    async def body(log: FakeLog) -> None:
        _take(log, "first")
        _take(log, "small")
        ids = [str(number) for number in range(BATCH_EVENTS)]
        large = _take(log, *ids)
        assert log.committer.ids() == [["first"], ids]
        log.committer.commit(log.committer.submitted[1])
        assert await large == _stored(*ids)

    _run(body)


def test_many_small_calls_wait_for_no_commit() -> None:
    async def body(log: FakeLog) -> None:
        _take(log, "first")
        size = BATCH_EVENTS - 1
        calls = [
            _take(log, *(f"{number}-{event}" for event in range(size))) for number in range(MAX_EVENTS // size + 1)
        ]
        assert len(log.committer.submitted) == 2
        assert len(log.committer.submitted[1].events) == size * len(calls) >= MAX_EVENTS
        log.committer.commit(log.committer.submitted[1])
        for number, call in enumerate(calls):
            assert await call == _stored(*(f"{number}-{event}" for event in range(size)))

    _run(body)


def test_many_bytes_wait_for_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(log: FakeLog) -> None:
        _take(log, "first")
        size = batch("a").ByteSize()
        monkeypatch.setattr(intake_module, "MAX_BATCH_BYTES", 3 * size)
        for transaction_id in "abcd":
            _take(log, transaction_id)
        assert log.committer.ids() == [["first"], ["a", "b", "c"]]

    _run(body)


def test_a_call_fewer_than_usual_is_waited_for_a_moment_only() -> None:
    async def body(log: FakeLog) -> None:
        _take(log, "first")
        for transaction_id in "abc":
            _take(log, transaction_id)
        log.committer.commit(log.committer.submitted[0])
        await _submitted(log, 2)
        log.committer.commit(log.committer.submitted[1])
        await _turn()
        # Three travelled together last, so a call waits for two others; as soon as they are there it goes on.
        for number, transaction_id in enumerate("def"):
            assert len(log.committer.submitted) == 2, number
            _take(log, transaction_id)
        assert log.committer.ids()[2:] == [["d", "e", "f"]]
        log.committer.commit(log.committer.submitted[2])
        await _turn()
        # Where they do not come it goes alone, and the next one does not wait.
        _take(log, "g")
        assert len(log.committer.submitted) == 3
        await _submitted(log, 4)
        log.committer.commit(log.committer.submitted[3])
        await _turn()
        _take(log, "h")
        assert log.committer.ids()[3:] == [["g"], ["h"]]

    _run(body)


def test_what_memory_does_not_know_is_asked_for_beside_the_loop() -> None:
    async def body(log: FakeLog) -> None:
        log.preparer.unknown.add(ONE)
        asking = _take(log, "a", "")
        other = _take(log, "b", organization=OTHER)
        assert log.committer.ids() == [["b"]]
        await _submitted(log, 2)
        log.committer.commit(*log.committer.submitted)
        assert _outcomes(await asking) == ["a", "REJECTED"]
        assert await other == _stored("b")

    _run(body)


def test_what_cannot_be_asked_for_is_an_answer() -> None:
    async def body(log: FakeLog) -> None:
        log.preparer.unknown.add(ONE)
        log.preparer.broken[ONE] = UnavailableError("AWAY", "the catalog is away")
        with pytest.raises(UnavailableError):
            await _take(log, "a")

    _run(body)


def test_who_asks_hears_for_which_subscription_each_event_counts() -> None:
    """The others of the same commit hear nothing of it, and a malformed event counts for none."""

    async def body(log: FakeLog) -> None:
        first = _take(log, "a")
        asked = batch("b", "", "c")
        asked.tells_subscriptions = True
        curious, other = take(log.intake, ONE, asked), _take(log, "", "d")
        log.committer.commit(log.committer.submitted[0])
        await first
        await _turn()
        log.committer.commit(log.committer.submitted[1])
        assert (await curious).subscription_ids == ["subscription of b", "", "subscription of c"]
        assert (await other).subscription_ids == ()
        assert _outcomes(await other) == ["REJECTED", "d"]

    _run(body)


def test_a_batch_that_cannot_be_settled_harms_no_other_of_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its callers get the error, and the loop goes on to the next batch."""
    settle = intake_module._settle

    def fail(done: Any, answers: Any) -> None:
        if done.organization == ONE:
            raise ArithmeticError("poison")
        settle(done, answers)

    monkeypatch.setattr(intake_module, "_settle", fail)

    async def body(log: FakeLog) -> None:
        first = _take(log, *(f"x{number}" for number in range(BATCH_EVENTS)))
        other = _take(log, *(f"y{number}" for number in range(BATCH_EVENTS)), organization=OTHER)
        log.committer.commit(*log.committer.submitted)
        with pytest.raises(ArithmeticError):
            await first
        assert len((await other).answers) == BATCH_EVENTS

    _run(body)


@pytest.mark.parametrize("count", [0, MAX_EVENTS + 1])
def test_a_batch_of_a_wrong_size_is_refused_at_once(count: int) -> None:
    async def body(log: FakeLog) -> None:
        with pytest.raises(InvalidArgumentError):
            _take(log, *["a"] * count)

    _run(body)


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a call is being committed or only gathered; and later calls are watched as well."""
    monkeypatch.setattr(intake_module, "MAX_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(intake_module, "SWEEP_SECONDS", 0.005)

    async def body(log: FakeLog) -> None:
        for call in (_take(log, "committed"), _take(log, "gathered")):
            with pytest.raises(UnavailableError) as caught:
                await call
            assert caught.value.reason == "COMMIT_OUTCOME_UNKNOWN"
        # Commits that end late answer nobody and block nobody.
        log.committer.commit(log.committer.submitted[0])
        await _submitted(log, 2)
        log.committer.commit(log.committer.submitted[1])
        await _turn()
        with pytest.raises(UnavailableError):
            await _take(log, "later")
        assert log.committer.ids() == [["committed"], ["gathered"], ["later"]]

    _run(body)


def test_streams_are_counted_while_they_live() -> None:
    async def body(log: FakeLog) -> None:
        with ExitStack() as streams:
            for _ in range(MAX_STREAMS):
                streams.enter_context(log.intake.stream())
            with pytest.raises(ResourceExhaustedError) as caught, log.intake.stream():
                pass
            assert caught.value.retry_after_seconds == RETRY_AFTER_SECONDS
        with log.intake.stream():
            pass

    _run(body)
