"""How a refusal looks: one JSON body that suits Lago's clients, Nozle's and RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from gateway.problem import TITLES, Problem

MEDIA_TYPE = "application/problem+json"
_BAD_REQUEST = 400


class ProblemBody(Struct):
    """A refusal (RFC 9457, with the members that Lago's clients read)."""

    status: int
    error: str
    code: str
    type: str
    title: str
    detail: str
    instance: str
    error_details: Mapping[str, Any] | UnsetType = UNSET


def render(problem: Problem, request_id: str) -> ProblemBody:
    """The body of a refusal."""
    title = TITLES[problem.status]
    return ProblemBody(
        status=problem.status,
        # Lago's clients show this text of a 400 to people; for other statuses they expect the status' name.
        error=f"BadRequest: {problem.detail}" if problem.status == _BAD_REQUEST else title,
        code=problem.reason,
        type=f"urn:farebox:error:{problem.reason}",
        title=title,
        detail=problem.detail,
        instance=f"urn:farebox:request:{request_id}",
        error_details=UNSET if problem.fields is None else problem.fields,
    )
