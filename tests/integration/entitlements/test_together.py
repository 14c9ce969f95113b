"""Calls that share a transaction: each is answered as if it were alone, and no limit is ever overspent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from farebox.common.v1 import decimal_pb2
from farebox.entitlements.v1 import access_service_pb2 as pb
from farebox.entitlements.v1 import access_service_pb2_grpc
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.chassis.wait import wait_until
from services.entitlements import consumers
from services.entitlements.commands import consumption
from services.entitlements.commands.together import Call, Counting, commit
from services.entitlements.convert import access as convert
from services.entitlements.deps import Deps
from services.entitlements.domain.access import Question
from services.entitlements.domain.counting import Command, Commit, Consume, Counted, Release, Reserve
from services.entitlements.domain.limits import DEFAULT_HOLD
from services.entitlements.main import make_deps
from services.entitlements.memory.memory import Memory
from services.kernel.ids import new_id
from services.local.stack import Stack
from tests.support.entitlements import PERIOD, World
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.events import RatingLog, fresh_ids, limit, plan_changed, subscription_changed

LOOP = asyncio.new_event_loop()


@pytest.fixture
def sold(world: World) -> World:
    """Two customers with a hard limit of 500."""
    plan, *subscriptions = fresh_ids(3)
    world.apply(
        plan_changed(world.organization, plan, [limit("calls", "500")]),
        *(
            subscription_changed(world.organization, subscription, plan, customer=customer, external_id=customer)
            for subscription, customer in zip(subscriptions, ("acme", "zenith"), strict=True)
        ),
    )
    return world


def consume_call(world: World, units: str, request_id: str | None = None, customer: str = "acme") -> Call:
    request = pb.ConsumeRequest(
        request_id=request_id or new_id(),
        external_customer_id=customer,
        feature_code="calls",
        units=decimal_pb2.Decimal(value=units),
    )
    command = Consume(convert.counted_from_pb(request), request.request_id)
    receipt = LOOP.create_future()
    return Call(world.organization, request, command, convert.consumed_to_pb, pb.ConsumeResponse.FromString, receipt)


def ledger(world: World, column: str = "sum(units)") -> Any:
    with world.deps.db.transaction(world.organization) as tx:
        return tx.exec_driver_sql(f"SELECT coalesce({column}, 0) FROM consumptions").scalar_one()


def test_each_is_answered_as_if_alone(sold: World) -> None:
    """Counted until there is no room; each with a revision of its own, and refused with that of its state."""
    revision = sold.check("calls").revision
    calls = [consume_call(sold, units) for units in ("200", "301", "300", "1")]
    commit(sold.deps, calls)
    answers = [call.answer.access for call in calls]
    assert [(answer.allowed, answer.used.value, answer.remaining.value) for answer in answers] == [
        (True, "200", "300"),
        (False, "200", "300"),
        (True, "500", "0"),
        (False, "500", "0"),
    ]
    assert [answer.revision - revision for answer in answers] == [1, 1, 2, 2]
    assert (sold.check("calls").used, sold.check("calls").revision) == (500, revision + 2)
    changes = [change.access for change in sold.changes() if change.access.revision > revision]
    assert [(change.used, change.revision) for change in changes] == [(500, revision + 2)]


def test_a_repeat_is_answered_as_the_first(sold: World) -> None:
    """Also where it comes beside others; another payload with the same id is refused, and nobody else is."""
    first = consume_call(sold, "100", "same")
    commit(sold.deps, [first])
    repeat, reused, other = consume_call(sold, "100", "same"), consume_call(sold, "7", "same"), consume_call(sold, "1")
    commit(sold.deps, [repeat, other])
    commit(sold.deps, [reused])
    assert (repeat.answer.replayed, other.answer.replayed) == (True, False)
    assert repeat.answer.access == first.answer.access
    assert reused.error.reason == "REQUEST_ID_REUSED"
    assert other.answer.access.used.value == "101"


def test_what_cannot_be_done_leaves_no_trace(sold: World) -> None:
    """An error is nobody else's, and its id may be used again, as if the call had never been."""
    unknown = pb.ReleaseRequest(request_id="again", reservation_id=new_id())
    call = Call(
        sold.organization,
        unknown,
        Release(unknown.reservation_id),
        convert.released_to_pb,
        pb.ReleaseResponse.FromString,
        LOOP.create_future(),
    )
    others = [consume_call(sold, "1"), consume_call(sold, "2")]
    commit(sold.deps, [others[0], call, others[1]])
    assert call.error.reason == "RESERVATION_UNKNOWN"
    assert [other.answer.access.used.value for other in others] == ["1", "3"]
    with sold.deps.db.transaction(sold.organization) as tx:
        kept = tx.exec_driver_sql("SELECT count(*) FROM requests").scalar_one()
    assert kept == 2


def test_a_poisoned_call_is_left_out_alone(sold: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw of one call fails that call; those beside it are counted, once each."""
    decide = consumption.Books.consume

    def breaks(self: Any, command: Consume, standings: Any) -> Counted:
        if command.question.units == 13:
            raise ZeroDivisionError
        return decide(self, command, standings)

    monkeypatch.setattr(consumption.Books, "consume", breaks)
    calls = [consume_call(sold, "13" if n == 4 else "2") for n in range(9)]
    commit(sold.deps, calls)
    assert [type(call.error) for call in calls if call.error] == [ZeroDivisionError]
    assert [call.answer.access.used.value for call in calls if not call.error] == [str(2 * n) for n in range(1, 9)]
    assert (sold.check("calls").used, ledger(sold), ledger(sold, "count(*)")) == (16, 16, 8)


# A hold is settled so many steps after it was made, so that it is there whatever the groups are.
LATER = 6


class Steps:
    """Random commands of one customer, the same ones for the same seed, whatever becomes of them."""

    def __init__(self, world: World, customer: str, seed: int) -> None:
        random = Random(seed)
        kinds = ["consume", "consume", "reserve", "reserve", "commit", "release"]
        self.world = world
        self.ask = partial(Question, customer, "calls", "")
        self.steps = [(random.choice(kinds), random.randint(1, 60), random.randint(0, 9)) for _ in range(60)]
        self.holds: dict[int, str] = {}

    def command(self, place: int) -> Command:
        kind, units, choice = self.steps[place]
        known = [hold for made, hold in self.holds.items() if made <= place - LATER] or [new_id()]
        hold = known[choice % len(known)]
        match kind:
            case "consume":
                return Consume(self.ask(Decimal(units)), new_id())
            case "reserve":
                return Reserve(self.ask(Decimal(units)), DEFAULT_HOLD)
            case "commit":
                return Commit(hold, Decimal(units % 20), new_id())
            case _:
                return Release(hold)

    def run(self, sizes: Iterator[int]) -> list[Any]:
        """Do all of them in transactions of so many; what each was answered."""
        told: list[Any] = []
        while len(told) < len(self.steps):
            places = range(len(told), min(len(self.steps), len(told) + next(sizes)))
            with self.world.deps.db.transaction(self.world.organization) as tx:
                commands = [self.command(place) for place in places]
                results = consumption.count(self.world.deps, tx, self.world.organization, commands)
            for place, result in zip(places, results, strict=True):
                if isinstance(result, Counted):
                    access = result.access
                    told.append((access.is_allowed, access.reason, access.used, access.remaining, access.valid_until))
                    if result.hold is not None:
                        self.holds[place] = result.hold.id
                else:
                    told.append(result.reason)
        return told


@pytest.mark.parametrize("seed", range(3))
def test_any_split_into_transactions_gives_the_same(sold: World, seed: int) -> None:
    """Random commands in transactions of one to six are answered as one by one."""
    sizes = Random(seed)
    together = Steps(sold, "acme", seed).run(iter(lambda: sizes.randint(1, LATER), None))
    assert together == Steps(sold, "zenith", seed).run(iter(lambda: 1, None))
    assert sold.check("calls").used == sold.check("calls", customer="zenith").used > 0
    assert any(isinstance(call, tuple) and not call[0] for call in together)


class Replica:
    """As much of a process as counts: its lines, its memory, and a loop on which callers wait."""

    def __init__(self, world: World) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.deps: Deps = replace(world.deps, memory=Memory(world.deps.db, world.clock))
        self.counting = Counting(self.deps, self.loop)
        self.counting.start()

    def consume(self, call: Call) -> Any:
        async def submit() -> Any:
            return await self.counting.submit(call.organization, call.request, call.command, call.pack, call.unpack)

        return asyncio.run_coroutine_threadsafe(submit(), self.loop)


@contextmanager
def two_replicas(world: World) -> Iterator[list[Replica]]:
    replicas = [Replica(world), Replica(world)]
    yield replicas
    for replica in replicas:
        replica.counting.stop()
        replica.loop.call_soon_threadsafe(replica.loop.stop)
        replica.deps.memory.close()


def test_twenty_at_once_in_two_replicas(sold: World) -> None:
    """20 consumptions of 75 against 500: exactly 6 are counted, run after run, and both replicas know it at once."""
    with two_replicas(sold) as replicas:
        for run in range(15):
            customer = f"customer-{run}"
            plan, subscription = fresh_ids(2)
            sold.apply(
                plan_changed(sold.organization, plan, [limit("calls", "500")]),
                subscription_changed(sold.organization, subscription, plan, customer=customer, external_id=customer),
            )
            calls = [consume_call(sold, "75", customer=customer) for _ in range(20)]
            waiting = [replicas[n % 2].consume(call) for n, call in enumerate(calls)]
            answers = [answer.result(PATIENCE_SECONDS) for answer in waiting]
            assert sum(answer.access.allowed for answer in answers) == 6
            revision = max(answer.access.revision for answer in answers)
            for replica in replicas:
                asked = [Question(customer, "calls", at_least_revision=revision)]
                (answer,) = replica.deps.memory.ask(sold.organization, asked).answers
                assert (answer.access.used, answer.access.remaining) == (450, 50)
    assert ledger(sold) == 15 * 450


KILLED = ["entitlements.before_commit:2", "entitlements.after_commit:2"]


@pytest.fixture(scope="module", params=KILLED)
def mortal(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Two processes, of which one dies in the middle of a commit or right after it."""
    dies = {"FAREBOX_ENVIRONMENT": "test", "FAREBOX_FAILPOINT": request.param}
    with Stack.temporary(
        services=["entitlements"], gateway=False, replicas={"entitlements": 2}, env_of={"entitlements-1": dies}
    ) as stack:
        yield stack


def sell_to_five(url: str) -> str:
    """An organization with five customers, each with a hard limit of 500."""
    db, organization, plan = Database(Settings(database_url=SecretStr(url))), new_id(), new_id()
    deps = make_deps(db)
    events = [plan_changed(organization, plan, [limit("calls", "500")])]
    events += [
        subscription_changed(organization, new_id(), plan, customer=f"customer-{n}", external_id=str(n), period=PERIOD)
        for n in range(5)
    ]
    with db.worker_transaction() as tx:
        consumers.apply(deps, tx, RatingLog().messages(*events))
    deps.memory.close()
    db.dispose()
    return organization


def test_kill_9_in_the_middle(mortal: Stack) -> None:
    """20 consumptions of 75 against 500, repeated until they are answered, are 6 of each customer's."""
    metadata = [(ORGANIZATION_KEY, sell_to_five(mortal.database_url("entitlements")))]
    channel = open_channel(mortal.address("entitlements"))
    stub = access_service_pb2_grpc.AccessServiceStub(channel)
    answers: dict[str, list[bool]] = {}

    def consume(customer: str) -> None:
        request = pb.ConsumeRequest(
            request_id=new_id(),
            external_customer_id=customer,
            feature_code="calls",
            units=decimal_pb2.Decimal(value="75"),
        )

        def attempt() -> Any:
            try:
                return stub.Consume(request, metadata=metadata, timeout=5)
            except grpc.RpcError as error:
                if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                    raise
                return None

        answer = wait_until(attempt, timeout=PATIENCE_SECONDS, what="an answer")
        answers.setdefault(customer, []).append(answer.access.allowed)

    callers = [threading.Thread(target=consume, args=(f"customer-{n % 5}",)) for n in range(100)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert {customer: (len(told), sum(told)) for customer, told in answers.items()} == {
        f"customer-{n}": (20, 6) for n in range(5)
    }
    assert not mortal.process("entitlements-1").is_running
    for n in range(5):
        asked = pb.CheckRequest(external_customer_id=f"customer-{n}", feature_code="calls")
        assert stub.Check(asked, metadata=metadata).access.used.value == "450"
