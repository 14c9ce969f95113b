"""Alerts: watches on a figure. This module defines them; it does not decide when one is raised or cleared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from services.kernel.errors import InvalidArgumentError
from services.kernel.money import ZERO
from services.margin.domain.limits import MAX_TEXT

# Nobody needs a figure to be crossed for longer than a quarter before they are told.
MAX_DURATION = timedelta(days=92)


class AlertMetric(StrEnum):
    """The watched figure: margins and revenue must not fall below the thresholds, cost must not rise above them."""

    MARGIN_PERCENT = "margin_percent"
    MARGIN_AMOUNT = "margin_amount"
    COST = "cost"
    REVENUE = "revenue"


@dataclass(frozen=True, slots=True)
class Alert:
    """A watch on a figure.

    Attributes:
        id: UUID as text.
        code: the organization's code, unique in the organization.
        name: for people.
        metric: the figure.
        external_customer_id: watches only this customer's figure; empty means each customer's.
        warning_threshold: crossing it is a warning.
        critical_threshold: crossing it is critical; None if there is none.
        recovery_threshold: returning to it clears the alert; None means the warning threshold.
        raise_after, clear_after: how long the figure must have crossed a threshold, or have returned.
        created_at: when it was made.
    """

    id: str
    code: str
    name: str
    metric: AlertMetric
    external_customer_id: str
    warning_threshold: Decimal
    critical_threshold: Decimal | None
    recovery_threshold: Decimal | None
    raise_after: timedelta
    clear_after: timedelta
    created_at: datetime


def require_valid(alert: Alert) -> Alert:
    """The alert itself, or an InvalidArgumentError that names the wrong field."""
    if not 1 <= len(alert.code) <= MAX_TEXT:
        raise _wrong("code", f"needs 1 to {MAX_TEXT} characters")
    for name in ("name", "external_customer_id"):
        if len(getattr(alert, name)) > MAX_TEXT:
            raise _wrong(name, f"has at most {MAX_TEXT} characters")
    for name in ("raise_after", "clear_after"):
        if not timedelta() <= getattr(alert, name) <= MAX_DURATION:
            raise _wrong(name, f"is 0 to {MAX_DURATION.days} days")
    # If the figure must not fall, critical lies below the warning and recovery above it; for a cost it is the other way
    # round.
    up = 1 if alert.metric is AlertMetric.COST else -1
    if alert.critical_threshold is not None and (alert.critical_threshold - alert.warning_threshold) * up < ZERO:
        raise _wrong("critical_threshold", "lies beyond the warning threshold")
    if alert.recovery_threshold is not None and (alert.recovery_threshold - alert.warning_threshold) * up > ZERO:
        raise _wrong("recovery_threshold", "lies on the good side of the warning threshold")
    return alert


def _wrong(name: str, description: str) -> InvalidArgumentError:
    return InvalidArgumentError.of_field(f"alert.{name}", "value_is_invalid", description)
