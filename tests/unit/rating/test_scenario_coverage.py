"""What the scenarios tell of: no price and no term that a plan may hold is without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import pytest

from services.kernel.money import CURRENCIES
from services.rating.pricing.metric import Aggregation
from tests.support.scenarios import Body, Scenario, read_scenario, scenario_files

SCENARIOS = [read_scenario(path) for path in scenario_files()]
MODELS = ("standard", "graduated", "volume", "package", "percentage", "graduated_percentage", "dynamic")
# What a single event costs is asked of a sum or a count of events alone.
BY_EVENT, OF_EVENTS = {"percentage", "dynamic"}, {"sum", "count"}
CADENCES = [*product(("calendar", "anniversary"), ("weekly", "monthly", "quarterly", "yearly"))]
FEWEST = 50


def charges(scenario: Scenario) -> list[Body]:
    """Those of all plans."""
    return [charge for plan in scenario.plans for charge in plan.get("charges", ())]


def plans_say(name: str) -> Callable[[Scenario], bool]:
    """Whether a plan has a term."""
    return lambda scenario: any(plan.get(name) for plan in scenario.plans)


def charges_say(name: str) -> Callable[[Scenario], bool]:
    """Whether a charge has a term, of its own or among its properties."""
    return lambda scenario: any(charge.get(name) or charge["properties"].get(name) for charge in charges(scenario))


def metrics_say(name: str) -> Callable[[Scenario], bool]:
    """Whether a metric has a term."""
    return lambda scenario: any(metric.get(name) for metric in scenario.metrics)


def steps_say(name: str, word: object = None) -> Callable[[Scenario], bool]:
    """Whether something is done, with a word where one is given."""
    return lambda scenario: any(name in step.do and (word is None or step.do[name] == word) for step in scenario.steps)


def coupons_say(kind: str, frequency: str) -> Callable[[Scenario], bool]:
    """Whether a coupon takes off so and lasts so."""
    return lambda scenario: any(
        (coupon["coupon_type"], coupon["frequency"]) == (kind, frequency) for coupon in scenario.coupons
    )


def starts(sign: int) -> Callable[[Scenario], bool]:
    """Whether it starts before (-1) or after (1) it is asked for."""

    def is_so(scenario: Scenario) -> bool:
        given = scenario.subscription.get("subscription_at")
        now = scenario.starts_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return given is not None and (given > now) - (given < now) == sign

    return is_so


def in_decimals(count: int) -> Callable[[Scenario], bool]:
    """Whether amounts have so many decimals."""
    return lambda scenario: CURRENCIES[scenario.plan["amount_currency"]].exponent == count


TERMS: Mapping[str, Callable[[Scenario], bool]] = {
    **{f"{name} of a plan": plans_say(name) for name in ("pay_in_advance", "trial_period", "minimum_commitment")},
    **{f"{name} of a plan": plans_say(name) for name in ("bill_charges_monthly", "tax_codes")},
    "usage that is free in a trial": lambda scenario: any(
        plan.get("bill_usage_in_trial") is False for plan in scenario.plans
    ),
    **{f"{name} of a charge": charges_say(name) for name in ("prorated", "min_amount_cents", "filters", "tax_codes")},
    **{f"{name} of a charge": charges_say(name) for name in ("pricing_group_keys", "free_units", "fixed_amount")},
    **{f"{name} of a metric": metrics_say(name) for name in ("recurring", "rounding_function", "filters")},
    **{
        f"coupon: {kind}, {frequency}": coupons_say(kind, frequency)
        for kind, frequency in (
            ("fixed_amount", "once"),
            ("fixed_amount", "forever"),
            ("percentage", "once"),
            ("percentage", "recurring"),
            ("percentage", "forever"),
        )
    },
    "a tax of the customer": lambda scenario: bool(scenario.customer.get("tax_codes")),
    "a tax of the organization": lambda scenario: any(tax.get("applied_to_organization") for tax in scenario.taxes),
    **{f"done: {name}": steps_say(name) for name in ("plan", "version", "cancel", "withdraw", "void", "replacement")},
    **{f"done: {name}": steps_say(name) for name in ("coupon", "pay", "sell", "give_back")},
    **{f"change {timing}": steps_say("when", timing) for timing in ("now", "period_end")},
    **{f"end {timing}": steps_say("cancel", timing) for timing in ("now", "period_end")},
    **{f"unused days: {word}": steps_say("credit", word) for word in ("refund", "offset", "none")},
    "a start in the past": starts(-1),
    "a start in the future": starts(1),
    "an agreed end": lambda scenario: "ending_at" in scenario.subscription,
    "grace": lambda scenario: bool(scenario.organization.get("invoice_grace_period_days")),
    "late events ignored": lambda scenario: scenario.organization.get("late_events") == "ignore",
    **{f"{count} decimals": in_decimals(count) for count in (0, 2, 3)},
}


def test_there_are_fifty() -> None:
    """Scenarios are only added."""
    assert len(SCENARIOS) >= FEWEST


def test_every_charge_model_prices_every_aggregation() -> None:
    """No pair that a plan may hold is without a scenario."""
    possible = {
        (model, str(aggregation))
        for model, aggregation in product(MODELS, Aggregation)
        if model not in BY_EVENT or aggregation in OF_EVENTS
    }
    assert {pair for scenario in SCENARIOS for pair in priced(scenario)} == possible


def priced(scenario: Scenario) -> set[tuple[str, str]]:
    """The charge models of a scenario, each with what it prices."""
    kinds = {metric["code"]: metric["aggregation_type"].removesuffix("_agg") for metric in scenario.metrics}
    return {(charge["charge_model"], kinds[charge["billable_metric_id"]]) for charge in charges(scenario)}


@pytest.mark.parametrize("cadence", CADENCES, ids=" ".join)
def test_every_cadence_is_played(cadence: tuple[str, str]) -> None:
    """Weeks, months, quarters and years begin on the calendar, and on the subscription's own day."""
    assert cadence in {
        (scenario.subscription["billing_time"], plan["interval"]) for scenario in SCENARIOS for plan in scenario.plans
    }


@pytest.mark.parametrize("term", TERMS)
def test_every_term_is_told_of(term: str) -> None:
    """What a plan, a coupon, a customer or a step may say is said by a scenario."""
    assert any(TERMS[term](scenario) for scenario in SCENARIOS)
