"""Refusals in the form of Stripe's clients, which recognize the kind by the status and the type."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.problem import Problem

MEDIA_TYPE = "application/json"
# Stripe has neither 422 nor 409 for faults that the caller must mend: its clients retry a 409 automatically.
STATUSES = {422: 400, 409: 400}
_REUSED = "idempotency_conflict"
_SERVER_ERROR = 500


class StripeError(Struct):
    """The fault of a request."""

    type: Annotated[str, Meta(description="`invalid_request_error`, `idempotency_error` or `api_error`.")]
    message: str
    code: str
    param: Annotated[str, Meta(description="The first wrong field; `message` names them all.")] | UnsetType = UNSET
    request_id: str | UnsetType = UNSET


class StripeProblem(Struct):
    """A refusal."""

    error: StripeError


def render(problem: Problem, request_id: str) -> StripeProblem:
    """The body of a refusal."""
    kind = "api_error" if problem.status >= _SERVER_ERROR else "invalid_request_error"
    return StripeProblem(
        StripeError(
            type="idempotency_error" if problem.reason == _REUSED else kind,
            message=problem.detail,
            code=problem.reason,
            param=next(iter(problem.fields), UNSET) if problem.fields else UNSET,
            request_id=request_id,
        )
    )
