"""A command on a real database: a request_id has its effect once, however often and in whatever order it comes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc_testing
import pytest

from farebox.common.v1.decimal_pb2 import Decimal
from farebox.entitlements.v1 import access_service_pb2 as pb
from services.chassis.db import Database
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.command import command
from services.kernel.ids import new_id

SERVICE = pb.DESCRIPTOR.services_by_name["AccessService"]
CALLS = 8


class Deps:
    """What the servicer stands on."""

    def __init__(self, db: Database) -> None:
        self.db = db


class Access:
    """A servicer whose effect is a row, so that one can see how often it happened."""

    def __init__(self, db: Database) -> None:
        self.deps = Deps(db)

    @command(pb.ConsumeRequest, pb.ConsumeResponse)
    def Consume(self, tx: Any, organization: str, request: pb.ConsumeRequest) -> pb.ConsumeResponse:
        tx.exec_driver_sql(
            "INSERT INTO outbox (subject, body) VALUES (%s, '')", (f"{organization}.{request.external_customer_id}",)
        )
        answer = pb.ConsumeResponse()
        answer.access.feature_code = new_id()
        return answer


@pytest.fixture
def access(database_for: Callable[[str], Database]) -> Access:
    return Access(database_for("entitlements"))


def call(access: Access, organization: str, request_id: str, customer: str = "alice") -> tuple[Any, grpc.StatusCode]:
    """The answer and the code of one call."""
    server = grpc_testing.server_from_dictionary({SERVICE: access}, grpc_testing.strict_real_time())
    request = pb.ConsumeRequest(request_id=request_id, external_customer_id=customer, units=Decimal(value="1"))
    method = SERVICE.methods_by_name["Consume"]
    made = server.invoke_unary_unary(method, ((ORGANIZATION_KEY, organization),), request, None)
    answer, _, code, _ = made.termination()
    return answer, code


def effects(access: Access) -> int:
    """How often the command had its effect."""
    with access.deps.db.worker_transaction() as tx:
        return int(tx.exec_driver_sql("SELECT count(*) FROM outbox").scalar_one())


def test_calls_at_once_with_one_request_id_have_one_effect_and_one_answer(access: Access) -> None:
    """One of them has the effect; the others wait for it, get its answer, and are told that they are repeats."""
    organization = new_id()
    with ThreadPoolExecutor(CALLS) as pool:
        answers = list(pool.map(lambda _: call(access, organization, "once")[0], range(CALLS)))
    assert len({answer.access.feature_code for answer in answers}) == 1
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * (CALLS - 1)
    assert effects(access) == 1


def test_an_id_counts_for_one_organization(access: Access) -> None:
    """Two organizations may use the same id; each has its own effect."""
    answers = [call(access, new_id(), "same")[0] for _ in range(2)]
    assert [answer.replayed for answer in answers] == [False, False]
    assert effects(access) == 2


def test_an_id_that_comes_back_with_another_payload_is_refused(access: Access) -> None:
    """It is an error of the caller and has no effect."""
    organization = new_id()
    call(access, organization, "same")
    assert call(access, organization, "same", customer="bob")[1] is grpc.StatusCode.ALREADY_EXISTS
    assert effects(access) == 1


def test_requests_without_an_id_are_all_done(access: Access) -> None:
    """Without an id, two calls have two effects."""
    organization = new_id()
    assert [call(access, organization, "")[0].replayed for _ in range(2)] == [False, False]
    assert effects(access) == 2
