"""A command of a servicer: read, then one transaction of the caller's organization; errors leave as ever."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc_testing
import psycopg
import pytest

from farebox.margin.v1 import alert_service_pb2 as pb
from farebox.margin.v1.alert_pb2 import Alert
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.command import command
from services.kernel.errors import InvalidArgumentError

ORGANIZATION = str(uuid.uuid4())
METADATA = ((ORGANIZATION_KEY, ORGANIZATION),)
SERVICE = pb.DESCRIPTOR.services_by_name["AlertService"]


@dataclass
class Savepoint:
    """A pretended savepoint."""

    steps: list[str]

    def rollback(self) -> None:
        self.steps.append("undone")


@dataclass
class PretendedDatabase:
    """A pretended database and its connection; remembers the order in which things happened."""

    steps: list[str] = field(default_factory=list)

    @contextmanager
    def transaction(self, organization: str) -> Iterator[PretendedDatabase]:
        self.steps.append(f"begin {organization}")
        yield self
        self.steps.append("commit")

    def begin_nested(self) -> Savepoint:
        return Savepoint(self.steps)


@dataclass
class Deps:
    """What the servicer stands on."""

    db: Any


def read_code(request: pb.CreateAlertRequest) -> str:
    """Read the request as a servicer does: what is wrong with it is an error."""
    if not request.alert.code:
        raise InvalidArgumentError.of_field("alert.code", "value_is_mandatory", "is missing")
    return request.alert.code


class Alerts:
    """Two commands: one that is given what was read, one that is given the request."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps
        self.failures: list[Exception] = []

    @command(pb.CreateAlertRequest, pb.CreateAlertResponse, reads=read_code)
    def CreateAlert(self, tx: Any, organization: str, code: str) -> pb.CreateAlertResponse:
        tx.steps.append(f"create {code}")
        if self.failures:
            raise self.failures.pop()
        return pb.CreateAlertResponse(alert=Alert(code=code, name=organization))

    @command(pb.DeleteAlertRequest, pb.DeleteAlertResponse)
    def DeleteAlert(self, tx: Any, organization: str, request: pb.DeleteAlertRequest) -> pb.DeleteAlertResponse:
        tx.steps.append(f"delete {request.code} of {organization}")
        return pb.DeleteAlertResponse()


@pytest.fixture
def alerts() -> Alerts:
    return Alerts(Deps(PretendedDatabase()))


def call(alerts: Alerts, name: str, request: Any, metadata: Any = METADATA) -> tuple[Any, grpc.StatusCode, str]:
    """What a caller without a network gets: the answer, the code, the message."""
    server = grpc_testing.server_from_dictionary({SERVICE: alerts}, grpc_testing.strict_real_time())
    made = server.invoke_unary_unary(SERVICE.methods_by_name[name], metadata, request, None)
    answer, _, code, message = made.termination()
    return answer, code, message


CREATE = pb.CreateAlertRequest(alert=Alert(code="low"))


def test_the_work_runs_in_one_transaction_of_the_callers_organization(alerts: Alerts) -> None:
    """It is given the connection, the organization and what was read."""
    answer, code, _ = call(alerts, "CreateAlert", CREATE)
    assert code is grpc.StatusCode.OK
    assert answer.alert == Alert(code="low", name=ORGANIZATION)
    assert alerts.deps.db.steps == [f"begin {ORGANIZATION}", "create low", "commit"]


def test_without_a_reader_the_work_is_given_the_request(alerts: Alerts) -> None:
    """A command that only needs a field or two reads them where it uses them."""
    assert call(alerts, "DeleteAlert", pb.DeleteAlertRequest(code="low"))[1] is grpc.StatusCode.OK
    assert f"delete low of {ORGANIZATION}" in alerts.deps.db.steps


def test_a_request_that_is_wrong_in_itself_costs_the_database_nothing(alerts: Alerts) -> None:
    """It is refused before a transaction begins."""
    _, code, message = call(alerts, "CreateAlert", pb.CreateAlertRequest())
    assert (code, alerts.deps.db.steps) == (grpc.StatusCode.INVALID_ARGUMENT, [])
    assert "alert.code" in message


def test_a_call_that_names_no_organization_is_refused_before_anything_is_read(alerts: Alerts) -> None:
    """A caller that does not identify itself learns nothing about its request."""
    _, code, _ = call(alerts, "CreateAlert", pb.CreateAlertRequest(), metadata=())
    assert (code, alerts.deps.db.steps) == (grpc.StatusCode.UNAUTHENTICATED, [])


def test_a_lost_race_runs_the_whole_transaction_again(alerts: Alerts) -> None:
    """A deadlock's victim is tried again, in a transaction of its own."""
    alerts.failures.append(psycopg.errors.DeadlockDetected())
    assert call(alerts, "CreateAlert", CREATE)[1] is grpc.StatusCode.OK
    assert alerts.deps.db.steps == [f"begin {ORGANIZATION}", "create low"] * 2 + ["commit"]


def test_an_error_of_the_work_leaves_with_its_code_and_nothing_is_committed(alerts: Alerts) -> None:
    """Errors are translated by the same door as every method's."""
    alerts.failures.append(RuntimeError("secret"))
    _, code, message = call(alerts, "CreateAlert", CREATE)
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in message
    assert "commit" not in alerts.deps.db.steps


def test_messages_of_another_method_are_noticed_where_the_servicer_is_defined() -> None:
    """A copied decorator cannot be served."""
    with pytest.raises(TypeError, match="CreateAlert is a command of"):

        class _Wrong:
            deps: Deps

            @command(pb.DeleteAlertRequest, pb.DeleteAlertResponse)
            def CreateAlert(self, tx: Any, organization: str, request: Any) -> Any: ...
