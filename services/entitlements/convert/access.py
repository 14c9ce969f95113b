"""Questions, answers and announcements on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache

from farebox.entitlements.v1 import access_service_pb2, domain_events_pb2, entitlement_pb2
from services.entitlements.domain.access import ONE, Access, Question, Reason
from services.entitlements.domain.counting import Counted
from services.entitlements.domain.event import AccessChanged, DomainEvent, TestClockReached
from services.entitlements.domain.feature import require_text
from services.entitlements.domain.limits import (
    DEFAULT_HOLD,
    MAX_CODE,
    MAX_HOLD,
    MAX_WATCHED_CUSTOMERS,
    MIN_HOLD,
)
from services.entitlements.memory.known import MAX_REMEMBERED, Answer
from services.entitlements.memory.memory import Answered
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import uuid_or_none
from services.kernel.money import parse_decimal
from services.wire.subjects import announcement
from services.wire.values import decimal_of, decimal_to_pb, instant_to_pb

_REASONS = {
    Reason.WITHIN_LIMIT: entitlement_pb2.Access.REASON_WITHIN_LIMIT,
    Reason.LIMIT_EXCEEDED: entitlement_pb2.Access.REASON_LIMIT_EXCEEDED,
    Reason.FEATURE_NOT_IN_PLAN: entitlement_pb2.Access.REASON_FEATURE_NOT_IN_PLAN,
    Reason.NO_SUBSCRIPTION: entitlement_pb2.Access.REASON_NO_SUBSCRIPTION,
    Reason.SUBSCRIPTION_REQUIRED: entitlement_pb2.Access.REASON_SUBSCRIPTION_REQUIRED,
    Reason.SUBSCRIPTION_INACTIVE: entitlement_pb2.Access.REASON_SUBSCRIPTION_INACTIVE,
    Reason.OVERRIDE: entitlement_pb2.Access.REASON_OVERRIDE,
    Reason.DEGRADED: entitlement_pb2.Access.REASON_DEGRADED,
}

CountingRequest = access_service_pb2.ConsumeRequest | access_service_pb2.ReserveRequest
SettlingRequest = access_service_pb2.CommitRequest | access_service_pb2.ReleaseRequest
Decided = access_service_pb2.CheckResponse | access_service_pb2.ConsumeResponse | access_service_pb2.ReserveResponse


def question_from_pb(request: access_service_pb2.CheckRequest, *, prefix: str = "") -> Question:
    """A question; absent units mean 1.

    Args:
        request: the question.
        prefix: the path of the question in its request, for errors.

    Raises:
        InvalidArgumentError: names the field.
    """
    texts = (
        request.external_customer_id,
        request.feature_code,
        request.external_subscription_id,
        request.units.value if request.HasField("units") else None,
    )
    try:
        question = _question_of(*texts)
    except InvalidArgumentError:
        if prefix:
            _read_question(*texts, prefix)
        raise
    if not request.at_least_revision:
        return question
    if request.at_least_revision < 0:
        raise InvalidArgumentError.of_field(
            f"{prefix}at_least_revision", "value_is_out_of_range", "must not be negative"
        )
    return replace(question, at_least_revision=request.at_least_revision)


def _read_question(customer: str, feature: str, subscription: str, asked: str | None, prefix: str = "") -> Question:
    units = ONE if asked is None else parse_decimal(asked, field=f"{prefix}units")
    if units < 0:
        raise InvalidArgumentError.of_field(f"{prefix}units", "value_is_out_of_range", "must not be negative")
    return Question(
        require_text(customer, f"{prefix}external_customer_id", MAX_CODE),
        require_text(feature, f"{prefix}feature_code", MAX_CODE),
        require_text(subscription, f"{prefix}external_subscription_id", MAX_CODE, is_mandatory=False),
        units,
    )


# The same questions are asked all day; to read one costs ten times what it costs to find it.
_question_of = lru_cache(maxsize=MAX_REMEMBERED)(_read_question)


def questions_from_pb(request: access_service_pb2.BatchCheckRequest) -> list[Question]:
    """Several questions, or an InvalidArgumentError that names the first wrong field."""
    return [question_from_pb(check, prefix=f"checks[{place}].") for place, check in enumerate(request.checks)]


def counted_from_pb(request: CountingRequest) -> Question:
    """What to count or to hold.

    Raises:
        InvalidArgumentError: names the field.
    """
    require_text(request.request_id, "request_id", MAX_CODE)
    units = decimal_of(request, "units")
    if units <= 0:
        raise InvalidArgumentError.of_field("units", "value_is_out_of_range", "must be more than 0")
    return Question(
        require_text(request.external_customer_id, "external_customer_id", MAX_CODE),
        require_text(request.feature_code, "feature_code", MAX_CODE),
        require_text(request.external_subscription_id, "external_subscription_id", MAX_CODE, is_mandatory=False),
        units,
    )


def lifetime_from_pb(request: access_service_pb2.ReserveRequest) -> timedelta:
    """How long a hold lasts, or an InvalidArgumentError on `lifetime`."""
    if not request.HasField("lifetime"):
        return DEFAULT_HOLD
    seconds = request.lifetime.seconds
    # Compared before it becomes a timedelta, into which a caller's number of seconds may not fit.
    if not MIN_HOLD.total_seconds() <= seconds <= MAX_HOLD.total_seconds():
        raise InvalidArgumentError.of_field("lifetime", "value_is_out_of_range", "lasts from 1 s to 24 h")
    return min(MAX_HOLD, request.lifetime.ToTimedelta())


def hold_id_from_pb(request: SettlingRequest) -> str:
    """Which hold to settle, or an InvalidArgumentError."""
    require_text(request.request_id, "request_id", MAX_CODE)
    if uuid_or_none(request.reservation_id) is None:
        raise InvalidArgumentError.of_field("reservation_id", "value_is_invalid", "is not the id of a reservation")
    return request.reservation_id


def used_units_from_pb(request: access_service_pb2.CommitRequest) -> Decimal:
    """How much of a hold was really used, or an InvalidArgumentError on `units`."""
    units = decimal_of(request, "units")
    if units < 0:
        raise InvalidArgumentError.of_field("units", "value_is_out_of_range", "must not be negative")
    return units


def watched_from_pb(request: access_service_pb2.WatchRequest) -> Sequence[str]:
    """The customers to watch; empty means all. An InvalidArgumentError if there are too many."""
    if len(request.external_customer_ids) > MAX_WATCHED_CUSTOMERS:
        raise InvalidArgumentError.of_field(
            "external_customer_ids", "value_is_too_long", f"names at most {MAX_WATCHED_CUSTOMERS} customers"
        )
    if request.after_revision < 0:
        raise InvalidArgumentError.of_field("after_revision", "value_is_out_of_range", "must not be negative")
    return list(request.external_customer_ids)


def access_to_pb(access: Access) -> entitlement_pb2.Access:
    """An answer."""
    return entitlement_pb2.Access(
        allowed=access.is_allowed,
        reason=_REASONS[access.reason],
        feature_code=access.feature_code,
        used=decimal_to_pb(access.used),
        limit=decimal_to_pb(access.limit),
        remaining=decimal_to_pb(access.remaining),
        overage=decimal_to_pb(access.overage),
        resets_at=instant_to_pb(access.resets_at),
        revision=access.revision,
        valid_until=instant_to_pb(access.valid_until),
        external_subscription_id=access.external_subscription_id,
        value=access.value,
        hard=access.is_hard,
    )


def checked_to_pb(answered: Answered) -> access_service_pb2.CheckResponse:
    """The answer to one question."""
    response = access_service_pb2.CheckResponse(access=_packed(answered.answers[0]))
    response.access.revision = answered.revision
    return response


def batch_checked_to_pb(answered: Answered) -> access_service_pb2.BatchCheckResponse:
    """The answers to several questions, in order."""
    response = access_service_pb2.BatchCheckResponse(answers=map(_packed, answered.answers))
    for access in response.answers:
        access.revision = answered.revision
    return response


def _packed(answer: Answer) -> entitlement_pb2.Access:
    """An answer without its revision; packed once, however often it is given, and copied by whoever gives it."""
    if answer.packed is None:
        answer.packed = access_to_pb(answer.access)
    packed: entitlement_pb2.Access = answer.packed
    return packed


def is_denied(answer: Decided) -> bool:
    """Whether an answer is no, which a change that was not heard of yet may turn into yes."""
    return not answer.access.allowed


def is_any_denied(answer: access_service_pb2.BatchCheckResponse) -> bool:
    """Whether one of several answers is no."""
    return not all(access.allowed for access in answer.answers)


def consumed_to_pb(counted: Counted) -> access_service_pb2.ConsumeResponse:
    """The answer of a consumption."""
    return access_service_pb2.ConsumeResponse(access=_counted_to_pb(counted))


def reserved_to_pb(counted: Counted) -> access_service_pb2.ReserveResponse:
    """The answer of a reservation; without an id and an end if it was refused."""
    hold = counted.hold
    return access_service_pb2.ReserveResponse(
        access=_counted_to_pb(counted),
        reservation_id=hold.id if hold else "",
        expires_at=instant_to_pb(hold.expires_at if hold else None),
    )


def committed_to_pb(counted: Counted) -> access_service_pb2.CommitResponse:
    """The answer of a commit."""
    return access_service_pb2.CommitResponse(access=_counted_to_pb(counted))


def released_to_pb(counted: Counted) -> access_service_pb2.ReleaseResponse:
    """The answer of a release."""
    return access_service_pb2.ReleaseResponse(access=_counted_to_pb(counted))


def _counted_to_pb(counted: Counted) -> entitlement_pb2.Access:
    access = access_to_pb(counted.access)
    access.revision = counted.revision
    return access


def change_to_pb(change: AccessChanged, *, is_snapshot: bool) -> access_service_pb2.WatchResponse:
    """One step of a watch."""
    return access_service_pb2.WatchResponse(
        external_customer_id=change.external_customer_id,
        access=access_to_pb(change.access),
        snapshot=is_snapshot,
        removed=change.is_removed,
    )


def event_to_pb(event: DomainEvent) -> tuple[str, bytes]:
    """Subject and body of a domain event."""
    match event:
        case AccessChanged():
            return announcement(
                domain_events_pb2.AccessChanged(
                    organization_id=event.organization_id,
                    external_customer_id=event.external_customer_id,
                    access=access_to_pb(event.access),
                    removed=event.is_removed,
                )
            )
        case TestClockReached():
            return announcement(
                domain_events_pb2.TestClockReached(
                    organization_id=event.organization_id, revision=event.revision, now=instant_to_pb(event.now)
                )
            )
