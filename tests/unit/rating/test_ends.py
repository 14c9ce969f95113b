"""What the end of a subscription bills and cuts, and which events come after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.kernel.cadence import Alignment
from services.kernel.ids import CustomerId, OrganizationId, PlanId, SubscriptionId
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement, EndTerms
from services.rating.agreements.resolution import Resolution
from services.rating.agreements.subscription import PendingChange, Subscription, activate, terminate
from services.rating.invoicing.billing_run import cut_period, end_run, start_run, without_unused
from services.rating.pricing.catalog import PlanVersion
from services.rating.pricing.plan import Plan
from services.rating.usage.billing_period import BillingPeriod

APRIL = datetime(2024, 4, 1, tzinfo=UTC)
MAY = datetime(2024, 5, 1, tzinfo=UTC)
JUNE = datetime(2024, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PENDING = Subscription(SubscriptionId("s"), "ext", CustomerId("c"), "p", 1, Alignment.CALENDAR, APRIL, APRIL, APRIL)


def agreed(subscription: Subscription, *, in_advance: bool = False, ending_at: datetime | None = None) -> Agreement:
    """A subscription to a plan of 31 a month with a minimum commitment."""
    plan = Plan("p", CURRENCIES["EUR"], base_amount=Decimal(31), in_advance=in_advance)
    plan = replace(plan, minimum_commitment_amount=Decimal(100))
    version = PlanVersion(PlanId("v"), replace(plan, name="Pro"), APRIL)
    return Agreement(OrganizationId("o"), subscription, version, "acme", "UTC", "", APRIL, ending_at)


def ended(at: datetime, *, in_advance: bool = False) -> Agreement:
    """One that was terminated."""
    return agreed(terminate(activate(PENDING, at=APRIL), at=at, timezone="UTC"), in_advance=in_advance)


@pytest.mark.parametrize(
    ("opened_at", "at", "billed", "commitment"),
    [(APRIL, MAY - DAY, 3100, APRIL), (MAY, MAY, 100, MAY), (MAY, MAY + DAY, 200, MAY)],
)
def test_an_end_bills_the_plans_period_that_the_open_one_began_in(
    opened_at: datetime, at: datetime, billed: int, commitment: datetime
) -> None:
    """At a boundary that is the one that begins: the one that ended was billed as it ended."""
    over = ended(at)
    run = end_run(over, BillingPeriod(OrganizationId("o"), SubscriptionId("s"), CustomerId("c"), Period(opened_at, at)))
    assert run.base is not None
    assert (run.base.amount_cents, run.commitment and run.commitment.nominal.start) == (billed, commitment)


def test_an_end_at_a_boundary_cuts_what_was_just_billed_in_advance() -> None:
    """A promised end comes before the closing, so its open period is the one that ends: nothing is cut."""
    over = ended(MAY, in_advance=True)
    assert cut_period(over, MAY, MAY) == Period(MAY, JUNE)
    promised = over.moved(replace(over.subscription, base_ends_at=MAY))
    assert cut_period(promised, MAY, APRIL) is None


@pytest.mark.parametrize(("resolution", "kept"), [(Resolution.CREDIT, 1033), (Resolution.NONE, 3100)])
def test_what_is_given_back_of_a_base_price_does_not_count_towards_a_commitment(
    resolution: Resolution, kept: int
) -> None:
    """Ten days of April at 31 for thirty are 10.33; where nothing is given back, all of it was billed."""
    over = replace(ended(APRIL + 9 * DAY, in_advance=True), end_terms=EndTerms(resolution))
    billed = start_run(agreed(activate(PENDING, at=APRIL), in_advance=True)).base
    assert billed is not None
    assert without_unused(over, Period(APRIL, MAY), billed).amount_cents == kept


def test_no_period_to_come_holds_what_lies_after_a_promised_end() -> None:
    """Neither of a change or cancellation, nor of an end that was agreed from the start."""
    active = activate(PENDING, at=APRIL)
    promised = agreed(replace(active, pending_change=PendingChange(MAY)))
    agreed_on = agreed(active, ending_at=MAY)
    for agreement in (promised, agreed_on):
        assert agreement.period_to_come(MAY - DAY) == Period(APRIL, MAY)
        assert agreement.period_to_come(MAY) is None
    assert agreed(active).period_to_come(MAY) == Period(MAY, JUNE)
