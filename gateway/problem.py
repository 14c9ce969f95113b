"""A refusal, independent of any dialect: a status, a reason, a sentence, and the wrong fields.

Services answer with gRPC statuses and a reason, which become a `Problem` here and nowhere else. The dialect decides how
a problem looks on the wire (`gateway.dialect.Dialect.render_problem`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import grpc
from msgspec import UNSET

from services.chassis.rpc.errors import error_info, field_violations, retry_after_seconds

# RFC 9110's names for the statuses we use; written down because Python renames some of them between versions.
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
NOT_IMPLEMENTED = "this route is not implemented"
# For refusals without a wait of their own: long enough for a restarted replica to answer.
RETRY_AFTER_SECONDS = 1
# Maps the path of a field in a request message to the caller's name for it.
Naming = Callable[[str], str]


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """A refusal.

    Attributes:
        status: the HTTP status.
        reason: a stable word in lower snake case.
        detail: a sentence for a person.
        fields: for refusals of fields, the codes by the path that the caller wrote: `{"charges[0].code": ["…"]}`.
        headers: headers of the answer, e.g. `Retry-After`.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        *,
        fields: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.fields = fields
        self.headers = dict(headers or {})


def invalid(field: str, code: str, detail: str) -> Problem:
    """One field of the request cannot be accepted."""
    return Problem(422, "validation_errors", f"{field}: {detail}", fields={field: [code]})


def refuse_both_names(given: object, name: str, other: str) -> None:
    """Refuse a request that gives one thing under two names, since one of them would be ignored.

    Raises:
        Problem: 422.
    """
    if UNSET not in (getattr(given, name), getattr(given, other)):
        raise invalid(other, "value_is_invalid", f"is another name of {name}; send one of them")


def not_found(thing: str, detail: str) -> Problem:
    """The named thing does not exist for this organization."""
    return Problem(404, f"{thing}_not_found", detail)


def not_available(field: str) -> Problem:
    """Refuse a field that Lago or Nozle know and Farebox does not offer; ignoring it would be a silent lie."""
    return invalid(field, "not_available", "is not offered")


def as_written(field: str) -> str:
    """The field's name itself, if the caller uses the message's names."""
    return field


def of_rpc(error: grpc.RpcError, callers_field: Naming = as_written) -> Problem:
    """The problem that a caller sees when a service refuses.

    Args:
        error: the error that a stub raised.
        callers_field: maps a message's field to the caller's name for it.
    """
    status = error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN
    if status in _SPEAKING:
        return _SPEAKING[status](error, callers_field)
    if status not in _PLAIN:
        return internal()
    number, reason = _PLAIN[status]
    # The channel's own message contains addresses, which are for our log and not for callers.
    detail = _detail(error) if _word(error) else "a service cannot answer now; try again"
    return Problem(number, _word(error) or reason, detail, headers={} if number == FORBIDDEN else _wait(error))


def unauthorized() -> Problem:
    """There is no valid key."""
    detail = "send a valid key as `Authorization: Bearer sk_…`"
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


def not_implemented(why: str = "") -> Problem:
    """A route that the dialect has and Farebox does not offer, with the reason."""
    return Problem(501, "not_implemented", f"this route is not implemented: {why}" if why else NOT_IMPLEMENTED)


def internal() -> Problem:
    """An unforeseen error: the caller learns only that it happened."""
    return Problem(500, "internal_error", "an unexpected error; it was logged under the request id")


def overloaded(detail: str) -> Problem:
    """A limit of the gateway was reached; nothing was stored."""
    return Problem(429, "too_many_requests", detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _of_violations(error: grpc.RpcError, callers_field: Naming) -> Problem:
    fields: dict[str, list[str]] = {}
    violations, detail = field_violations(error), _detail(error)
    for violation in violations:
        fields.setdefault(callers_field(violation.field), []).append(violation.reason or "value_is_invalid")
    # A service's message describes only the first field, and under the service's name.
    if violations and detail == f"{violations[0].field}: {violations[0].description}":
        detail = "; ".join(f"{callers_field(violation.field)}: {violation.description}" for violation in violations)
    whole = {"base": [_word(error) or "value_is_invalid"]}
    return Problem(422, "validation_errors", detail, fields=fields or whole)


def _of_existing(error: grpc.RpcError, callers_field: Naming) -> Problem:
    reason, metadata = error_info(error)
    if reason == "REQUEST_ID_REUSED":
        return Problem(409, "idempotency_conflict", "this Idempotency-Key was used with another request")
    if reason == "API_KEY_SHOWN":
        return Problem(409, "api_key_shown", "this request made a key, which was shown then and is stored nowhere")
    field = metadata.get("field") or next((name for name in _IDENTITIES if name in metadata), "code")
    return Problem(422, "validation_errors", _detail(error), fields={callers_field(field): ["value_already_exist"]})


def _of_missing(error: grpc.RpcError, _: Naming) -> Problem:
    thing = _word(error).removesuffix("_unknown").removesuffix("_not_found") or "object"
    return not_found("billable_metric" if thing == "metric" else thing, _detail(error))


def _of_state(error: grpc.RpcError, _: Naming) -> Problem:
    return Problem(409, _word(error) or "invalid_status", _detail(error))


# Statuses that are translated according to the error's content.
_SPEAKING: dict[grpc.StatusCode, Callable[[grpc.RpcError, Naming], Problem]] = {
    grpc.StatusCode.INVALID_ARGUMENT: _of_violations,
    grpc.StatusCode.ALREADY_EXISTS: _of_existing,
    grpc.StatusCode.NOT_FOUND: _of_missing,
    # The state of a thing forbids the verb. 405 would mean that the route has no such method.
    grpc.StatusCode.FAILED_PRECONDITION: _of_state,
    grpc.StatusCode.UNAUTHENTICATED: lambda _, __: unauthorized(),
    grpc.StatusCode.UNIMPLEMENTED: lambda _, __: not_implemented(),
}
FORBIDDEN = 403
# Statuses with a single HTTP status, and the code for errors without a reason.
_PLAIN = {
    grpc.StatusCode.PERMISSION_DENIED: (FORBIDDEN, "forbidden"),
    grpc.StatusCode.ABORTED: (409, "conflict"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (429, "too_many_requests"),
    grpc.StatusCode.UNAVAILABLE: (503, "service_unavailable"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (503, "service_unavailable"),
    grpc.StatusCode.CANCELLED: (503, "service_unavailable"),
}
# The field that identifies each thing that may already exist.
_IDENTITIES = ("external_id", "transaction_id")


def _word(error: grpc.RpcError) -> str:
    return error_info(error)[0].lower()


def _detail(error: grpc.RpcError) -> str:
    return str(error.details() or "") if hasattr(error, "details") else ""


def _wait(error: grpc.RpcError) -> dict[str, str]:
    return {"Retry-After": str(retry_after_seconds(error) or RETRY_AFTER_SECONDS)}
