"""A service's refusal becomes one body that Lago's clients and RFC 9457 understand."""

from __future__ import annotations

from typing import Any

import grpc
import msgspec
import pytest

from gateway.dialects.lago import invoice_preview
from gateway.dialects.lago.problem import render
from gateway.dialects.nozle import credit
from gateway.operation import callers_field
from gateway.problem import TITLES, Problem, of_rpc
from services.kernel import errors
from services.kernel.errors import FieldViolation
from tests.support.gateway import bare, refused


def rendered(problem: Problem) -> Any:
    return msgspec.to_builtins(render(problem, "r"))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.NotFoundError("PLAN_UNKNOWN", "no plan"), 404, "plan_not_found"),
        (errors.NotFoundError("METRIC_UNKNOWN", "no metric"), 404, "billable_metric_not_found"),
        (errors.NotFoundError("INVOICE_NOT_FOUND", "no invoice"), 404, "invoice_not_found"),
        (errors.UnauthenticatedError("ORGANIZATION_REQUIRED", "who?"), 401, "unauthorized"),
        (errors.PermissionDeniedError("TEST_MODE_REQUIRED", "live"), 403, "test_mode_required"),
        (errors.FailedPreconditionError("INVOICE_PAID", "paid"), 409, "invoice_paid"),
        (errors.AbortedError("LOST_RACE", "again"), 409, "lost_race"),
        (errors.ResourceExhaustedError("QUEUE_FULL", "full"), 429, "queue_full"),
        (errors.UnavailableError("DATABASE_UNAVAILABLE", "away"), 503, "database_unavailable"),
        (errors.AlreadyExistsError("REQUEST_ID_REUSED", "other"), 409, "idempotency_conflict"),
        (errors.AlreadyExistsError("PLAN_EXISTS", "taken"), 422, "validation_errors"),
        (errors.InvalidArgumentError("FIELD_INVALID", "bad"), 422, "validation_errors"),
    ],
)
def test_each_status_has_its_counterpart(error: errors.FareboxError, status: int, code: str) -> None:
    problem = of_rpc(refused(error))
    assert (problem.status, problem.reason) == (status, code)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.UNAVAILABLE, 503),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 503),
        (grpc.StatusCode.UNIMPLEMENTED, 501),
        (grpc.StatusCode.INTERNAL, 500),
        (grpc.StatusCode.UNKNOWN, 500),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    ],
)
def test_the_transports_own_errors_show_no_address(code: grpc.StatusCode, status: int) -> None:
    problem = of_rpc(bare(code))
    assert problem.status == status
    assert "10.0.0.1" not in str(render(problem, "r"))


def test_who_should_wait_is_told_how_long() -> None:
    error = errors.ResourceExhaustedError("QUEUE_FULL", "full", retry_after_seconds=7)
    assert of_rpc(refused(error)).headers["Retry-After"] == "7"
    assert of_rpc(bare(grpc.StatusCode.UNAVAILABLE)).headers["Retry-After"] == "1"


def test_fields_of_services_are_named_by_the_operation() -> None:
    violations = [FieldViolation("tax.rate_percent", "value_is_invalid", "below 0")]
    error = refused(errors.InvalidArgumentError("FIELD_INVALID", "bad", violations=violations))
    assert of_rpc(error).fields == {"tax.rate_percent": ["value_is_invalid"]}
    assert of_rpc(error, {"tax.rate_percent": "rate"}.__getitem__).fields == {"rate": ["value_is_invalid"]}


def test_what_is_wrong_is_told_of_every_field_by_the_callers_names() -> None:
    violations = [
        FieldViolation("tax.rate_percent", "value_is_invalid", "below 0"),
        FieldViolation("tax.code", "value_is_mandatory", "is missing"),
    ]
    error = refused(errors.InvalidArgumentError.of_fields(violations))
    names = {"tax.rate_percent": "rate", "tax.code": "code"}
    assert of_rpc(error, names.__getitem__).detail == "rate: below 0; code: is missing"


def test_the_dates_of_a_grant_are_called_as_the_caller_wrote_them() -> None:
    give = next(operation for operation in credit.OPERATIONS if operation.path.endswith("/credit-grants"))
    assert give.callers_field("grant.expires_at") == "expires_at"
    assert give.callers_field("grant.credit_system_code") == "credit_system"


@pytest.mark.parametrize("field", ["timezone", "customer.timezone"])
def test_the_customer_of_a_preview_is_called_as_the_caller_wrote_it(field: str) -> None:
    assert invoice_preview.OPERATIONS[0].callers_field(field) == "customer.timezone"


def test_fields_are_called_as_the_caller_wrote_them() -> None:
    violations = [
        FieldViolation("plan.currency", "value_is_invalid", "no such currency"),
        FieldViolation("events[3].occurred_at", "too_far_ahead", "tomorrow's tomorrow"),
        FieldViolation("plan.charges[0].model", "value_is_mandatory", "is missing"),
    ]
    error = errors.InvalidArgumentError("FIELD_INVALID", "bad", violations=violations)
    names = {"plan.currency": "amount_currency", "events[].occurred_at": "timestamp", "plan.charges": "charges"}
    assert of_rpc(refused(error), lambda field: callers_field(names, field)).fields == {
        "amount_currency": ["value_is_invalid"],
        "timestamp": ["too_far_ahead"],
        "charges[0].model": ["value_is_mandatory"],
    }


def test_what_exists_already_names_its_field() -> None:
    error = errors.AlreadyExistsError("SUBSCRIPTION_EXISTS", "taken", external_id="sub_1")
    assert of_rpc(refused(error)).fields == {"external_id": ["value_already_exist"]}
    assert of_rpc(refused(errors.AlreadyExistsError("PLAN_EXISTS", "taken"))).fields == {
        "code": ["value_already_exist"]
    }


def test_a_state_that_forbids_a_verb_is_a_conflict() -> None:
    """405 would say that the route has no such method."""
    error = refused(errors.FailedPreconditionError("CHANGE_ALREADY_PENDING", "withdraw it first"))
    assert (of_rpc(error).status, of_rpc(error).reason) == (409, "change_already_pending")


def test_the_body_satisfies_both_readers() -> None:
    problem = Problem(422, "validation_errors", "code: is missing", fields={"code": ["value_is_mandatory"]})
    body = rendered(problem)
    lago = {"status", "error", "code", "error_details"}
    rfc_9457 = {"type", "title", "status", "detail", "instance"}
    assert lago | rfc_9457 == set(body)
    assert body["error"] == body["title"] == "Unprocessable Entity"
    assert body["instance"].endswith("r")


def test_a_400_says_what_is_wrong_where_lagos_clients_look() -> None:
    assert rendered(Problem(400, "bad_request", "no event"))["error"] == "BadRequest: no event"


def test_no_field_of_the_body_is_redacted_by_the_sdk() -> None:
    body = rendered(Problem(422, "validation_errors", "bad", fields={}))
    assert not [name for name in body if name.endswith(("_key", "_token", "_secret"))]


@pytest.mark.parametrize("status", TITLES)
def test_every_status_we_use_has_a_title(status: int) -> None:
    assert rendered(Problem(status, "x", "y"))["title"] == TITLES[status]
