"""What every start of a subscription has in common: a requested one, one that is due, or a change of plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.rating.agreements.agreement import Agreement
from services.rating.agreements.subscription import activate


def activated(agreement: Agreement, at: datetime) -> Agreement:
    """The agreement after its pending subscription has begun."""
    return with_trial(agreement.moved(activate(agreement.subscription, at=at)))


def with_trial(agreement: Agreement) -> Agreement:
    """The agreement with the future end of its trial, if that is after its start."""
    ends_at = agreement.trial_ends_at
    is_ahead = ends_at is not None and ends_at > agreement.subscription.starts_at
    return replace(agreement, trial_end_due_at=ends_at if is_ahead else None)
