"""Credits on PostgreSQL: never overspent by any number of replicas, answered once, the same without any snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from random import Random
from threading import Barrier
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1 import decimal_pb2
from farebox.entitlements.v1 import credit_pb2, credit_service_pb2, credit_service_pb2_grpc
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.errors import error_info, field_violations
from services.chassis.rpc.server_async import AsyncServer, add_servicer
from services.entitlements.domain.limits import CHANGES_PER_SNAPSHOT
from services.entitlements.main import SERVICE_NAMES, make_deps
from services.entitlements.rpc.credit import CreditServicer
from services.entitlements.settings import EntitlementsSettings
from services.kernel.clock import FrozenClock
from services.kernel.ids import new_id
from tests.support.entitlements import NOON

DAY = timedelta(days=1)


@dataclass
class Replicas:
    """Two replicas on one database; the clock of the second one is a second behind.

    Attributes:
        stubs: a caller of each.
        clocks: their clocks.
        database: theirs.
        organization: whose credits they are.
    """

    stubs: list[Any]
    clocks: list[FrozenClock]
    database: Database
    organization: str

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [(ORGANIZATION_KEY, self.organization)]

    def call(self, method: str, request: Any, replica: int = 0) -> Any:
        return getattr(self.stubs[replica], method)(request, metadata=self.metadata)

    def begin(self, **fields: Any) -> credit_pb2.CreditSystem:
        system = credit_pb2.CreditSystem(**{"code": "ai", "name": "AI credits", "unit_name": "credit", **fields})
        request = credit_service_pb2.CreateCreditSystemRequest(request_id=new_id(), credit_system=system)
        return self.call("CreateCreditSystem", request).credit_system

    def give(self, amount: str, *, request_id: str = "", **fields: Any) -> credit_pb2.CreditGrant:
        grant = credit_pb2.CreditGrant(
            external_customer_id="acme",
            credit_system_code="ai",
            amount=decimal_pb2.Decimal(value=amount),
            **fields,
        )
        request = credit_service_pb2.GrantCreditsRequest(request_id=request_id or new_id(), grant=grant)
        return self.call("GrantCredits", request).grant

    def deduct(self, amount: str, request_id: str = "", replica: int = 0) -> Any:
        request = credit_service_pb2.DeductCreditsRequest(
            request_id=request_id or new_id(),
            external_customer_id="acme",
            credit_system_code="ai",
            amount=decimal_pb2.Decimal(value=amount),
        )
        return self.call("DeductCredits", request, replica)

    def void(self, grant_id: str) -> Any:
        return self.call("VoidGrant", credit_service_pb2.VoidGrantRequest(request_id=new_id(), grant_id=grant_id))

    def balances(self, code: str = "") -> Any:
        request = credit_service_pb2.ListCreditBalancesRequest(external_customer_id="acme", credit_system_code=code)
        return self.call("ListCreditBalances", request).balances

    def left(self) -> dict[str, str]:
        (balance,) = self.balances()
        return {entry.grant.id: entry.remaining.value for entry in balance.grants}

    def move(self, by: timedelta) -> None:
        for clock in self.clocks:
            clock.move_to(clock.now() + by)

    def rows(self, statement: str) -> list[Any]:
        with self.database.transaction(self.organization) as tx:
            return list(tx.exec_driver_sql(statement, (self.organization,)))


@pytest.fixture
def replicas(settings_for: Callable[[str], Settings]) -> Iterator[Replicas]:
    settings = EntitlementsSettings.model_validate(settings_for("entitlements").model_dump())
    clocks = [FrozenClock(NOON), FrozenClock(NOON - timedelta(seconds=1))]
    databases, servers, stubs = [Database(settings) for _ in clocks], [], []
    for database, clock in zip(databases, clocks, strict=True):
        server = AsyncServer(settings)
        servicer = CreditServicer(make_deps(database, clock))
        add_servicer(server.grpc, credit_service_pb2_grpc.add_CreditServiceServicer_to_server, servicer)
        server.start(SERVICE_NAMES)
        servers.append(server)
    channels = [open_channel(f"127.0.0.1:{server.port}") for server in servers]
    stubs = [credit_service_pb2_grpc.CreditServiceStub(channel) for channel in channels]
    yield Replicas(stubs, clocks, databases[0], new_id())
    for channel in channels:
        channel.close()
    for server in servers:
        server.drain()
        server.close()
    for database in databases:
        database.dispose()


def test_credits_are_never_overspent(replicas: Replicas) -> None:
    """Twenty deductions of 75 against 500 at once, on two replicas: exactly six are allowed, and 50 are left."""
    replicas.begin()
    given = replicas.give("500")
    together = Barrier(20)

    def one(number: int) -> Any:
        together.wait()
        return replicas.deduct("75", replica=number % 2)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))
    assert sum(answer.allowed for answer in answers) == 6
    assert replicas.left() == {given.id: "50"}
    assert replicas.rows("SELECT count(*), sum(amount) FROM credit_uses WHERE organization_id = %s") == [(6, 450)]


def test_one_request_is_answered_once(replicas: Replicas) -> None:
    """The same id burns once and is answered the same, also when it was refused; another amount is a conflict."""
    replicas.begin()
    replicas.give("10", request_id="paid")
    assert replicas.give("10", request_id="paid").id == replicas.balances()[0].grants[0].grant.id
    first, denied = replicas.deduct("4", "one"), replicas.deduct("7", "two")
    assert (first.allowed, first.available.value, denied.allowed, denied.available.value) == (True, "6", False, "6")
    replicas.give("100")
    for answer, (amount, name) in ((first, ("4", "one")), (denied, ("7", "two"))):
        again = replicas.deduct(amount, name, replica=1)
        assert again.replayed
        again.replayed = False
        assert again == answer
    with pytest.raises(grpc.RpcError) as refusal:
        replicas.deduct("5", "one")
    assert refusal.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert replicas.balances()[0].available.value == "106"


def test_what_is_taken_back_stays_burned(replicas: Replicas) -> None:
    """Voiding takes what is left of a grant; it can be done once, and the other grants keep theirs."""
    replicas.begin()
    kept, voided = replicas.give("5"), replicas.give("10", priority=1)
    assert [burn.grant_id for burn in replicas.deduct("4").burned] == [voided.id]
    assert replicas.void(voided.id).voided.value == "6"
    assert replicas.left() == {kept.id: "5"}
    with pytest.raises(grpc.RpcError) as refusal:
        replicas.void(voided.id)
    assert error_info(refusal.value)[0] == "GRANT_ENDED"


def test_no_snapshot_changes_a_balance(replicas: Replicas) -> None:
    """The balances are the same when every snapshot is thrown away, and each deduction burned what was said then."""
    replicas.begin()
    chance = Random(17)
    refilled = credit_pb2.GrantRecurrence(unit=credit_pb2.GrantRecurrence.UNIT_DAY)
    replicas.give("20", recurrence=refilled, priority=chance.randint(0, 9))
    for days in range(1, 5):
        ends = Timestamp()
        ends.FromDatetime(NOON + days * DAY)
        replicas.give("31.000000000001", expires_at=ends, priority=chance.randint(0, 9))
    replicas.give("500")
    burned = Decimal(0)
    for number in range(CHANGES_PER_SNAPSHOT + 12):
        answer = replicas.deduct(f"{chance.randint(1, 9)}.{chance.randint(1, 9)}", replica=number % 2)
        burned += sum(Decimal(burn.amount.value) for burn in answer.burned)
        replicas.move(DAY / 12)
    with_snapshot = replicas.left()
    assert replicas.rows("SELECT count(snapshot_at) FROM credit_accounts WHERE organization_id = %s") == [(1,)]
    replicas.rows("UPDATE credit_accounts SET snapshot_at = NULL WHERE organization_id = %s RETURNING 1")
    assert replicas.left() == with_snapshot
    assert replicas.rows("SELECT sum(amount) FROM credit_uses WHERE organization_id = %s") == [(burned,)]


def test_balances_of_all_kinds(replicas: Replicas) -> None:
    """Kinds of credits are listed by code; a kind that was never given has nothing left, and one unknown is refused."""
    replicas.begin()
    replicas.begin(code="sms", burn_order=credit_pb2.BURN_ORDER_PRIORITY_FIRST)
    listed = replicas.call("ListCreditSystems", credit_service_pb2.ListCreditSystemsRequest())
    assert [system.code for system in listed.credit_systems] == ["ai", "sms"]
    replicas.give("1.5")
    assert [(entry.credit_system.code, entry.available.value) for entry in replicas.balances()] == [("ai", "1.5")]
    assert replicas.balances("sms")[0].available.value == "0"
    with pytest.raises(grpc.RpcError) as unknown:
        replicas.balances("gold")
    assert error_info(unknown.value)[0] == "CREDIT_SYSTEM_UNKNOWN"
    with pytest.raises(grpc.RpcError) as taken:
        replicas.begin()
    assert error_info(taken.value)[0] == "CREDIT_SYSTEM_EXISTS"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"priority": 256}, "grant.priority"),
        ({"expires_at": Timestamp(seconds=1)}, "grant.expires_at"),
        ({"recurrence": credit_pb2.GrantRecurrence()}, "grant.recurrence.unit"),
        ({"recurrence": credit_pb2.GrantRecurrence(unit="UNIT_DAY", every=4000)}, "grant.recurrence.every"),
        ({"reference": "r" * 256}, "grant.reference"),
    ],
)
def test_a_wrong_grant_names_its_fields(replicas: Replicas, fields: dict[str, Any], field: str) -> None:
    """Each refusal says which field of the request is wrong, and nothing is given."""
    replicas.begin()
    with pytest.raises(grpc.RpcError) as refusal:
        replicas.give("1", **fields)
    assert [violation.field for violation in field_violations(refusal.value)] == [field]
    assert replicas.balances("ai")[0].available.value == "0"
