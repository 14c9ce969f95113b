"""Plans, charges and filters: matching, versions, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.kernel.cadence import MONTHLY, QUARTERLY, WEEKLY, YEARLY, Alignment, Cadence
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import ChargeId
from services.kernel.money import CURRENCIES
from services.rating.pricing.charge_filter import Bucket, ChargeFilter, bucket_of, most_specific
from services.rating.pricing.charges import Dynamic, Percentage, Standard, Volume
from services.rating.pricing.charges.tier import Tier
from services.rating.pricing.metric import Aggregation, BillableMetric, MetricFilter
from services.rating.pricing.plan import Charge, Plan, PlanEntitlement, next_version

D = Decimal
EUR = CURRENCIES["EUR"]
PRICE = Standard(D(1))
FILTERS = (
    ChargeFilter("cloud", (("cloud", ("aws", "gcp")),), PRICE),
    ChargeFilter("any region", (("cloud", ("aws",)), ("region", ())), PRICE),
    ChargeFilter("aws eu", (("cloud", ("aws",)), ("region", ("eu",))), PRICE),
)


@pytest.mark.parametrize(
    ("properties", "key"),
    [
        ({"cloud": "gcp", "region": "eu"}, "cloud"),
        ({"cloud": "aws"}, "cloud"),
        ({"cloud": "aws", "region": "us"}, "any region"),
        ({"cloud": "aws", "region": "eu"}, "aws eu"),
        ({"cloud": "azure"}, None),
        ({}, None),
    ],
)
def test_the_most_specific_filter_wins(properties: dict[str, object], key: str | None) -> None:
    """More conditions beat fewer, named values beat any value; without a match the charge's own price applies."""
    found = most_specific(FILTERS, properties)
    assert (found.key if found else None) == key
    assert bucket_of(FILTERS, (), properties) == Bucket(key or "")


def test_the_first_of_equal_filters_wins() -> None:
    """So that the answer does not depend on chance."""
    twins = tuple(ChargeFilter(key, (("cloud", ("aws",)),), PRICE) for key in ("a", "b"))
    assert bucket_of(twins, (), {"cloud": "aws"}).filter_key == "a"


def test_groups() -> None:
    """Usage splits by the values of the group keys; an event without one is a group too."""
    assert bucket_of((), ("region", "tier"), {"region": "eu", "tier": 1}).group == (("region", "eu"), ("tier", "1"))
    assert bucket_of((), ("region",), {}).group == (("region", ""),)


def test_group_keys_come_from_the_charge_or_the_metric() -> None:
    """A charge may split otherwise than its metric, or not at all."""
    metric = BillableMetric("m", Aggregation.COUNT, group_by=("region",))
    charge = Charge(ChargeId("c"), "m", PRICE)
    assert charge.group_keys(metric) == ("region",)
    assert replace(charge, group_by=()).group_keys(metric) == ()


def test_model_for_a_filter() -> None:
    """The filter's price, or the charge's own."""
    own, other = Standard(D(2)), Standard(D(3))
    charge = Charge(ChargeId("c"), "m", own, (replace(FILTERS[0], model=other),))
    assert charge.model_for("cloud") is other
    assert charge.model_for("") is own


def test_versions() -> None:
    """A sold plan is revised into its next version, under the same code and currency."""
    plan = Plan("p", EUR, base_amount=D(10))
    assert next_version(plan, replace(plan, base_amount=D(12))) == Plan("p", EUR, version=2, base_amount=D(12))
    for other in (replace(plan, code="q"), replace(plan, currency=CURRENCIES["USD"])):
        with pytest.raises(InvalidArgumentError):
            next_version(plan, other)


def test_yearly_amounts_compare_plans() -> None:
    """What decides between upgrade and downgrade."""
    assert Plan("p", EUR, MONTHLY, base_amount=D(10)).yearly_amount == 120
    assert Plan("p", EUR, QUARTERLY, base_amount=D(10)).yearly_amount == 40
    assert Plan("p", EUR, WEEKLY, base_amount=D(10)).yearly_amount == 520


def test_charge_cadence() -> None:
    """A yearly plan may bill its usage each month."""
    yearly = Cadence(YEARLY, Alignment.CALENDAR, datetime(2024, 2, 1, tzinfo=UTC))
    assert Plan("p", EUR, YEARLY).charge_cadence(yearly) is yearly
    assert Plan("p", EUR, YEARLY, bill_charges_monthly=True).charge_cadence(yearly).interval == MONTHLY


CHARGE = Charge(ChargeId("c"), "m", PRICE)
RECURRING = BillableMetric("m", Aggregation.SUM, "n", recurring=True)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Plan("", EUR), "code"),
        (lambda: Plan("p", EUR, base_amount=D(-1)), "base_amount"),
        (lambda: Plan("p", EUR, minimum_commitment_amount=D(-1)), "minimum_commitment_amount"),
        (lambda: Plan("p", EUR, trial_days=-1), "trial_days"),
        (lambda: Plan("p", EUR, WEEKLY, bill_charges_monthly=True), "bill_charges_monthly"),
        (lambda: Plan("p", EUR, entitlements=(PlanEntitlement("f", D(1)),) * 2), "entitlements"),
        (lambda: replace(CHARGE, minimum_amount=D(-1)), "minimum_amount"),
        (lambda: replace(CHARGE, minimum_amount=D(1), in_advance=True), "minimum_amount"),
        (lambda: replace(CHARGE, filters=FILTERS[:1] * 2), "filters"),
        (lambda: replace(CHARGE, model=Volume((Tier(None, D(1)),)), prorated=True), "prorated"),
        (lambda: ChargeFilter("", (("a", ()),), PRICE), "filters.key"),
        (lambda: ChargeFilter("a", (), PRICE), "filters.conditions"),
        (lambda: replace(CHARGE, filters=FILTERS[:1]).check_metric(RECURRING), "filters[0].values"),
        (lambda: replace(CHARGE, prorated=True).check_metric(replace(RECURRING, recurring=False)), "prorated"),
        (
            lambda: replace(CHARGE, model=Percentage(D(1))).check_metric(
                BillableMetric("m", Aggregation.UNIQUE_COUNT, "n")
            ),
            "model",
        ),
        (lambda: replace(CHARGE, model=Dynamic()).check_metric(BillableMetric("m", Aggregation.MAX, "n")), "model"),
    ],
)
def test_refusals_name_their_field(make: Callable[[], object], field: str) -> None:
    """What could not be billed is refused when it is made."""
    with pytest.raises(InvalidArgumentError) as refused:
        make()
    assert refused.value.violations[0].field == field


def test_a_charge_that_fits_its_metric() -> None:
    """Declared filters, a recurring sum for proration, a sum for a percentage."""
    metric = replace(RECURRING, filters=(MetricFilter("cloud", ("aws", "gcp")), MetricFilter("region", ("eu", "us"))))
    replace(CHARGE, filters=FILTERS, prorated=True).check_metric(metric)
    replace(CHARGE, model=Percentage(D(1))).check_metric(metric)
