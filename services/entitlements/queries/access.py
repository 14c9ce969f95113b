"""Questions about access, answered at one revision."""

from __future__ import annotations

from collections.abc import Sequence

from services.entitlements.deps import Deps
from services.entitlements.domain import access
from services.entitlements.domain.access import Access, Question
from services.entitlements.domain.limits import MAX_CHECKS
from services.entitlements.store import standing as standing_store
from services.kernel.errors import InvalidArgumentError, UnavailableError
from services.kernel.ids import OrganizationId


def check(deps: Deps, organization: OrganizationId, questions: Sequence[Question]) -> list[Access]:
    """Answer questions at one revision, with one query.

    Raises:
        InvalidArgumentError: no question, or more than `MAX_CHECKS`.
        UnavailableError: `REVISION_NOT_REACHED`, this service has not reached the requested revision.
    """
    if not 1 <= len(questions) <= MAX_CHECKS:
        raise InvalidArgumentError.of_field("checks", "value_is_out_of_range", f"holds 1 to {MAX_CHECKS} questions")
    with deps.db.transaction(organization) as tx:
        seen = standing_store.of_questions(tx, organization, questions, deps.clock.now())
    newest = max(question.at_least_revision for question in questions)
    if newest > seen.revision:
        raise UnavailableError("REVISION_NOT_REACHED", f"the newest revision is {seen.revision}", revision=newest)
    return [
        access.decide(question, standings, at=seen.at, revision=seen.revision)
        for question, standings in zip(questions, seen.standings, strict=True)
    ]
