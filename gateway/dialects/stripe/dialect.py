"""Stripe's meter events, recognized by their paths, which no other dialect has."""

from __future__ import annotations

from gateway.dialect import Dialect, Head
from gateway.dialects.stripe import problem
from gateway.dialects.stripe.meter_event import OPERATIONS

_BEGINNINGS = ("/v1/billing/meter", "/v2/billing/meter")


def claims(head: Head) -> bool:
    """Whether a request is for meters or their events."""
    return head.path.startswith(_BEGINNINGS)


STRIPE = Dialect(
    name="stripe",
    bases=("",),
    operations=OPERATIONS,
    render_problem=problem.render,
    problem_media_type=problem.MEDIA_TYPE,
    claims=claims,
    statuses=problem.STATUSES,
)
