"""Errors as callers see them: one JSON body that satisfies Lago's clients and RFC 9457.

    {"status": 422, "error": "Unprocessable Entity", "code": "validation_errors", "error_details": {"code": ["…"]},
     "type": "urn:farebox:error:validation_errors", "title": …, "detail": "a sentence", "instance": "urn:…:<request>"}

Services speak in gRPC statuses with a reason; the translation happens here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from services.chassis.rpc.errors import error_info, field_violations, retry_after_seconds

# What RFC 9110 calls the statuses we use; written down because Python renames some of them between versions.
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
# For refusals that name no wait of their own: long enough for a restarted replica to answer.
RETRY_AFTER_SECONDS = 1
# A message's field that a caller knows by another name.
_CALLERS_NAMES = {
    "occurred_at": "timestamp",
    "aggregation": "aggregation_type",
    "rounding": "rounding_function",
    "page.page_size": "per_page",
    "page.skip": "page",
    "currency": "amount_currency",
    "started_at": "subscription_at",
    "metric_code": "billable_metric_id",
}
# Requests wrap the thing they are about; callers see its fields alone.
_WRAPPERS = re.compile(
    r"^(?:events?\[\d+\]|event|billable_metric|plan|customer|coupon|tax|feature|cost_model|organization)\."
)


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """A refusal, as the caller shall see it.

    Attributes:
        status: HTTP status.
        code: stable word, lower snake.
        detail: a sentence for a person.
        error_details: codes by field, for refusals of fields.
        headers: of the answer, e.g. `Retry-After`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        error_details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.error_details = error_details
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON body."""
        title = TITLES[self.status]
        body: dict[str, Any] = {
            "status": self.status,
            # Lago's clients show this text of a 400 to people; of others they expect the status' name.
            "error": f"BadRequest: {self.detail}" if self.status == 400 else title,  # noqa: PLR2004 - HTTP's number
            "code": self.code,
            "type": f"urn:farebox:error:{self.code}",
            "title": title,
            "detail": self.detail,
            "instance": f"urn:farebox:request:{request_id}",
        }
        if self.error_details is not None:
            body["error_details"] = self.error_details
        return body


def invalid(field: str, code: str, detail: str) -> Problem:
    """One field of the request cannot be accepted."""
    return Problem(422, "validation_errors", f"{field}: {detail}", error_details={field: [code]})


def not_found(thing: str, detail: str) -> Problem:
    """The named thing does not exist for this organization."""
    return Problem(404, f"{thing}_not_found", detail)


def not_available(field: str) -> Problem:
    """A field that Lago or Nozle know and Farebox does not offer; ignoring it would be a silent lie."""
    return invalid(field, "not_available", "is not offered")


def of_rpc(error: grpc.RpcError, *, state_status: int = 405) -> Problem:
    """What a caller sees of a service's refusal.

    Args:
        error: as raised by a stub.
        state_status: the status for "not in a state that allows it": 405 on Lago's routes, 409 on the Engine's.
    """
    status = error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN
    if status in _SPEAKING:
        return _SPEAKING[status](error)
    if status == grpc.StatusCode.FAILED_PRECONDITION:
        return Problem(state_status, _word(error) or "invalid_status", _detail(error))
    if status not in _PLAIN:
        return internal()
    number, code = _PLAIN[status]
    # The channel's own words name addresses; they are for our log and not for callers.
    detail = _detail(error) if _word(error) else "a service cannot answer now; try again"
    return Problem(number, _word(error) or code, detail, headers={} if number == FORBIDDEN else _wait(error))


def unauthorized() -> Problem:
    """No valid key."""
    detail = "send a valid key as `Authorization: Bearer sk_…`"
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


def not_implemented() -> Problem:
    """A route that the dialect has and Farebox does not offer yet."""
    return Problem(501, "not_implemented", "this route is not implemented")


def internal() -> Problem:
    """Something that we did not foresee; the caller learns nothing of it but that it happened."""
    return Problem(500, "internal_error", "an unexpected error; it was logged under the request id")


def overloaded(detail: str) -> Problem:
    """A bound of the gateway was reached; nothing was stored."""
    return Problem(429, "too_many_requests", detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def callers_field(field: str) -> str:
    """The name that the caller wrote for a field of a message."""
    bare = _WRAPPERS.sub("", field)
    return _CALLERS_NAMES.get(bare, bare)


def _of_violations(error: grpc.RpcError) -> Problem:
    details: dict[str, list[str]] = {}
    for violation in field_violations(error):
        details.setdefault(callers_field(violation.field), []).append(violation.reason or "value_is_invalid")
    whole = {"base": [_word(error) or "value_is_invalid"]}
    return Problem(422, "validation_errors", _detail(error), error_details=details or whole)


def _of_existing(error: grpc.RpcError) -> Problem:
    reason, metadata = error_info(error)
    if reason == "REQUEST_ID_REUSED":
        return Problem(409, "idempotency_conflict", "this Idempotency-Key was used with another request")
    field = metadata.get("field") or next((name for name in _IDENTITIES if name in metadata), "code")
    return Problem(
        422, "validation_errors", _detail(error), error_details={callers_field(field): ["value_already_exist"]}
    )


def _of_missing(error: grpc.RpcError) -> Problem:
    thing = _word(error).removesuffix("_unknown").removesuffix("_not_found") or "object"
    return not_found("billable_metric" if thing == "metric" else thing, _detail(error))


# Statuses whose translation depends on what the error says.
_SPEAKING: dict[grpc.StatusCode, Callable[[grpc.RpcError], Problem]] = {
    grpc.StatusCode.INVALID_ARGUMENT: _of_violations,
    grpc.StatusCode.ALREADY_EXISTS: _of_existing,
    grpc.StatusCode.NOT_FOUND: _of_missing,
    grpc.StatusCode.UNAUTHENTICATED: lambda _: unauthorized(),
    grpc.StatusCode.UNIMPLEMENTED: lambda _: not_implemented(),
}
FORBIDDEN = 403
# Statuses with one HTTP status, and the code for errors that carry no reason.
_PLAIN = {
    grpc.StatusCode.PERMISSION_DENIED: (FORBIDDEN, "forbidden"),
    grpc.StatusCode.ABORTED: (409, "conflict"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (429, "too_many_requests"),
    grpc.StatusCode.UNAVAILABLE: (503, "service_unavailable"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (503, "service_unavailable"),
    grpc.StatusCode.CANCELLED: (503, "service_unavailable"),
}
# What identifies the things that may exist already.
_IDENTITIES = ("external_id", "transaction_id")


def _word(error: grpc.RpcError) -> str:
    return error_info(error)[0].lower()


def _detail(error: grpc.RpcError) -> str:
    return str(error.details() or "") if hasattr(error, "details") else ""


def _wait(error: grpc.RpcError) -> dict[str, str]:
    return {"Retry-After": str(retry_after_seconds(error) or RETRY_AFTER_SECONDS)}
