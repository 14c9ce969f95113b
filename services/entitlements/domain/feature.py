"""A feature: something a plan unlocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.entitlements.domain.limits import MAX_CODE, MAX_DESCRIPTION, MAX_NAME
from services.kernel.checks import inside
from services.kernel.errors import FailedPreconditionError, InvalidArgumentError


class FeatureType(StrEnum):
    """The kind of answer that a feature gives."""

    GATE = "gate"
    USAGE_LIMIT = "usage_limit"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class Feature:
    """Something a plan unlocks, unique by `code` in its organization.

    Attributes:
        id: Farebox id; empty before it is stored.
        code: the organization's code.
        name: for people.
        description: for people.
        type: gate, usage limit or configuration.
        metric_code: for a usage limit, the billable metric whose units count; otherwise empty.
        created_at: when it was created.
        deleted_at: when it was removed; from then on its code unlocks nothing, even if plans name it.
    """

    id: str
    code: str
    name: str
    description: str
    type: FeatureType
    metric_code: str
    created_at: datetime
    deleted_at: datetime | None = None


def require_valid(feature: Feature) -> None:
    """Refuse texts beyond their limits, a usage limit without a metric, and a metric on any other type.

    Raises:
        InvalidArgumentError: names every wrong field.
    """
    is_limit = feature.type is FeatureType.USAGE_LIMIT
    with inside("feature") as checks:
        checks(require_text, feature.code, "code", MAX_CODE)
        checks(require_text, feature.name, "name", MAX_NAME)
        checks(require_text, feature.description, "description", MAX_DESCRIPTION, is_mandatory=False)
        checks(require_text, feature.metric_code, "metric_code", MAX_CODE, is_mandatory=is_limit)
        if feature.metric_code and not is_limit:
            checks.refuse("metric_code", "value_is_invalid", "only a usage limit counts a metric")


def require_text(text: str, field: str, longest: int, *, is_mandatory: bool = True) -> str:
    """The text, or an InvalidArgumentError that names the field if it is missing or too long."""
    if is_mandatory and not text:
        raise InvalidArgumentError.of_field(field, "value_is_mandatory", "must not be empty")
    if len(text) > longest:
        raise InvalidArgumentError.of_field(field, "value_is_too_long", f"has at most {longest} characters")
    return text


def revise(known: Feature, draft: Feature) -> Feature:
    """The known feature with the content of a draft; a removed feature is restored with its id.

    Raises:
        FailedPreconditionError: `FEATURE_TYPE_FIXED`, since plans and overrides were written for its present type.
    """
    if known.deleted_at is None and known.type is not draft.type:
        raise FailedPreconditionError(
            "FEATURE_TYPE_FIXED", f"feature {known.code!r} is a {known.type} and stays one", code=known.code
        )
    return replace(draft, id=known.id, created_at=known.created_at, deleted_at=None)
