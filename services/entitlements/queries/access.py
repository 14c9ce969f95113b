"""Questions about access, answered at one revision."""

from __future__ import annotations

from collections.abc import Sequence

from services.entitlements.deps import Deps
from services.entitlements.domain.access import Question
from services.entitlements.domain.limits import MAX_CHECKS
from services.entitlements.memory.memory import Answered
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId


def recall(deps: Deps, organization: OrganizationId, questions: Sequence[Question]) -> Answered | None:
    """Answers at one revision that wait for nothing; None where `check` has to be asked.

    Raises:
        InvalidArgumentError: no question, or more than `MAX_CHECKS`.
    """
    _require_few(questions)
    return deps.memory.recall(organization, questions)


def check(deps: Deps, organization: OrganizationId, questions: Sequence[Question]) -> Answered:
    """Answers at one revision, by one query at the most.

    Raises:
        InvalidArgumentError: no question, or more than `MAX_CHECKS`.
        UnavailableError: `REVISION_NOT_REACHED`, this service has not reached the requested revision.
    """
    _require_few(questions)
    return deps.memory.ask(organization, questions)


def _require_few(questions: Sequence[Question]) -> None:
    if not 1 <= len(questions) <= MAX_CHECKS:
        raise InvalidArgumentError.of_field("checks", "value_is_out_of_range", f"holds 1 to {MAX_CHECKS} questions")
