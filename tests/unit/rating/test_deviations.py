"""What docs/deviations.md says of Farebox's own figures, where a case expects others."""

from __future__ import annotations

from decimal import Decimal

from tests.cases.cases import instant
from tests.cases.customer import RECURRING_SUM, SUM, Customer, cents_of, standard
from tests.cases.register import CASES
from tests.support.accounts.memory import MemoryAccount


def _customer() -> Customer:
    return Customer(MemoryAccount())


def test_the_day_of_termination_is_billed_though_the_customer_comes_back_on_it() -> None:
    """`trial-terminate`: 20 of 21 days are credited, and the new subscription is billed for all 21."""
    given, customer = CASES["trial-terminate"]["given"], _customer()
    customer.open(instant("2024-03-04T21:00:00Z"))
    customer.plan(given["plan"])
    customer.subscribe()
    customer.advance(instant("2024-03-11T23:00:00Z"))
    (trial_end,) = customer.invoices()
    customer.terminate()
    (note,) = customer.credit_notes()
    assert (trial_end.total_cents, note.total_cents) == (2371, 2258)


def test_usage_that_was_taken_back_within_its_period_was_never_billed() -> None:
    """`pia-sum`: 10 and -4 come to 6, and with 8 to 14."""
    given, customer = CASES["pia-sum"]["given"], _customer()
    customer.open(instant("2023-02-01"))
    customer.metric(SUM)
    customer.plan(given["plan"], given["charge"])
    customer.subscribe()
    seen = []
    for event in given["events"]:
        customer.use([(instant(event["at"]), {"amount": event["amount"]})])
        seen.append(customer.usage().amount_cents)
    assert seen == [1000, 600, 1400]


def test_a_seat_that_was_removed_no_longer_counts() -> None:
    """`cu-uniq-3`: one seat, none, and one again."""
    given, customer = CASES["cu-uniq-3"]["given"], _customer()
    customer.open(instant(given["steps"][0]["at"]))
    customer.metric(given["metric"])
    customer.plan(given["plan"], given["charge"])
    customer.subscribe()
    seen = []
    for step in given["steps"][1:]:
        customer.use([(instant(step["at"]), step["event"])])
        seen.append(customer.usage().amount_cents)
    assert seen == [100, 0, 100]


def test_only_the_net_change_of_a_day_counts() -> None:
    """`cu-sum-pia`: 10, -5 and +2 on 6 February are 7 for 24 of 29 days: 168.00."""
    given, customer = CASES["cu-sum-pia"]["given"], _customer()
    customer.open(instant(given["steps"][0]["at"]))
    customer.metric({**given["metric"], "field_name": "item_id"})
    customer.plan(given["plan"], given["charge"])
    customer.subscribe()
    customer.use([(instant(step["at"]), step["event"]) for step in given["steps"][1:]])
    customer.advance(instant("2024-03-01"))
    assert cents_of(customer.invoices(), "charge") == 16800


def test_each_change_weighs_by_exact_days() -> None:
    """1 held for 10 of 30 days, at 0.3, is 0.1 exactly; with a weight of five decimals it would be 0.099999."""
    customer = _customer()
    customer.open(instant("2024-04-01"))
    customer.metric(RECURRING_SUM)
    customer.plan({"amount_cents": 0}, standard("0.3", prorated=True))
    customer.subscribe()
    customer.use([(instant("2024-04-21"), {"amount": "1"})])
    customer.advance(instant("2024-05-01"))
    (fee,) = customer.invoices()[0].fees
    assert fee.precise_amount.quantize(Decimal("1e-40")) == Decimal("0.1")


def test_the_first_allowance_that_ends_ends_both() -> None:
    """One free event and 250 free: three of 100 cost 1 % of the last two, with or without a bound that never binds."""
    costs = []
    for bound in ({}, {"per_transaction_max_amount": "1000000"}):
        customer = _customer()
        customer.open(instant("2024-04-01"))
        customer.metric(SUM)
        allowance = {"free_units_per_events": 1, "free_units_per_total_aggregation": "250"}
        customer.plan(
            {"amount_cents": 0}, {"charge_model": "percentage", "properties": {"rate": "1", **allowance, **bound}}
        )
        customer.subscribe()
        customer.use([(instant(f"2024-04-01T0{hour}:00:00Z"), {"amount": "100"}) for hour in range(3)])
        costs.append(customer.usage().amount_cents)
    assert costs == [200, 200]
