"""What can be read; nothing here changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.chassis.page import Page
from services.entitlements.deps import Deps
from services.entitlements.domain import access
from services.entitlements.domain.access import Access, Question
from services.entitlements.domain.event import AccessChanged, access_changed
from services.entitlements.domain.feature import Feature
from services.entitlements.domain.limits import MAX_CHECKS
from services.entitlements.domain.standing import Standing
from services.entitlements.store import feature, organization, standing
from services.kernel.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError, UnavailableError
from services.kernel.ids import OrganizationId

# Changes read at a time: some 100 kB of messages, so that a slow watcher holds little memory and no transaction.
WATCH_PAGE = 500


def check(deps: Deps, owner: OrganizationId, questions: Sequence[Question]) -> list[Access]:
    """Answer questions at one revision, by one query.

    Raises:
        InvalidArgumentError: no question, or more than `MAX_CHECKS`.
        UnavailableError: `REVISION_NOT_REACHED`, the state asked for is not known here.
    """
    if not 1 <= len(questions) <= MAX_CHECKS:
        raise InvalidArgumentError.of_field("checks", "value_is_out_of_range", f"holds 1 to {MAX_CHECKS} questions")
    with deps.db.transaction(owner) as tx:
        seen = standing.of_questions(tx, owner, questions, deps.clock.now())
    newest = max(question.at_least_revision for question in questions)
    if newest > seen.revision:
        raise UnavailableError("REVISION_NOT_REACHED", f"the newest revision is {seen.revision}", revision=newest)
    return [
        access.decide(question, standings, at=seen.at, revision=seen.revision)
        for question, standings in zip(questions, seen.standings, strict=True)
    ]


def get_feature(deps: Deps, owner: OrganizationId, code: str) -> Feature:
    """The feature with this code, or a NotFoundError `FEATURE_UNKNOWN`."""
    with deps.db.transaction(owner) as tx:
        found = feature.find(tx, owner, code)
    if found is None or found.deleted_at is not None:
        raise NotFoundError("FEATURE_UNKNOWN", f"no feature has code {code!r}", code=code)
    return found


def list_features(deps: Deps, owner: OrganizationId, wanted: Page) -> tuple[Sequence[Feature], str, int]:
    """A page of features, the code its next page begins after (empty on the last), and how many there are in all."""
    with deps.db.transaction(owner) as tx:
        found, total = feature.page(tx, owner, wanted)
    following = found[wanted.size - 1].code if len(found) > wanted.size else ""
    return found[: wanted.size], following, total


def list_entitlements(
    deps: Deps, owner: OrganizationId, customer: str, external_subscription_id: str
) -> tuple[Sequence[Standing], datetime]:
    """What active subscriptions are entitled to now, and what time that is.

    Raises:
        InvalidArgumentError: neither a customer nor a subscription is named.
    """
    if not customer and not external_subscription_id:
        raise InvalidArgumentError.of_field(
            "external_customer_id", "value_is_mandatory", "name a customer or a subscription"
        )
    with deps.db.transaction(owner) as tx:
        seen = standing.of_customer(tx, owner, customer, external_subscription_id, deps.clock.now())
    return seen.standings[0], seen.at


def newest_revision(deps: Deps, owner: OrganizationId, *, resumed_after: int) -> int:
    """The revision a watch begins at.

    Raises:
        FailedPreconditionError: `REVISION_UNKNOWN`, the watcher resumes after one that was never given here.
    """
    with deps.db.transaction(owner) as tx:
        newest = organization.revision(tx, owner)
    if resumed_after > newest:
        raise FailedPreconditionError(
            "REVISION_UNKNOWN", f"the newest revision is {newest}; begin with a snapshot", revision=newest
        )
    return newest


def changes_after(deps: Deps, owner: OrganizationId, customers: Sequence[str], revision: int) -> list[AccessChanged]:
    """The next `WATCH_PAGE` changes after a revision, in order; each feature once, with its newest answer."""
    with deps.db.transaction(owner) as tx:
        seen = standing.changed_after(tx, owner, customers, revision, WATCH_PAGE, deps.clock.now())
    return [access_changed(owner, one, at=seen.at) for one in seen.standings[0]]
