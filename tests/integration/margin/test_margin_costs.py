"""Costs of usage and cost events in the ledger, and the figures they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier, Thread
from typing import Any

import pytest

from services.chassis.page import Page, read_page
from services.kernel.errors import InvalidArgumentError
from services.margin.commands import cost_event
from services.margin.commands import cost_model as cost_models
from services.margin.commands import price as prices
from services.margin.commands.usage import cost_usage, save_metric
from services.margin.deps import Deps
from services.margin.domain.cost_event import CostEvent, Outcome
from services.margin.domain.cost_model import CostModel, PerModel, PerUnit
from services.margin.domain.margin import Figures, MarginState
from services.margin.domain.price import ProviderPrice
from services.margin.domain.projection import Metric, UsageEvent
from services.margin.domain.token import TokenType
from services.margin.queries import cost as lists
from services.margin.queries import margin as margins
from services.margin.queries.margin import Span
from services.margin.store import projection as projections
from services.margin.store.figure import GroupBy
from services.margin.store.ledger import EntryFilter
from tests.support.margin import ACME, NOW, OTHER, SUBSCRIPTION, usage

INPUT = {"model": "gpt-4o", "type": "input", "tokens": 1000}
OUTPUT = {"model": "gpt-4o", "type": "output", "tokens": 500}
EVENT = CostEvent("ce-1", "ai_tokens", "", "cust_1", "req-1", "chat", NOW, "openai", "gpt-4o", TokenType.INPUT, 1000)


def cost_model(deps: Deps, rule: PerUnit | PerModel | None = None, **fields: Any) -> CostModel:
    model = CostModel("", "tokens", "llm_tokens", rule or PerModel(), "USD", created_at=NOW)
    with deps.db.transaction(ACME) as tx:
        return cost_models.create_cost_model(deps, tx, ACME, replace(model, **fields))


def take(deps: Deps, *events: UsageEvent) -> None:
    with deps.db.worker_transaction() as tx:
        cost_usage(deps, tx, events)


def record(deps: Deps, *events: CostEvent) -> Sequence[Outcome]:
    with deps.db.transaction(ACME) as tx:
        return cost_event.record_cost_events(deps, tx, ACME, events)


def figures(deps: Deps) -> Figures:
    """Of everything, in the organization's own currency."""
    return margins.summary(deps, ACME, Span())[0].figures


def groups(deps: Deps, group_by: GroupBy) -> dict[str, Figures]:
    return {margin.group: margin.figures for margin in margins.by_group(deps, ACME, Span(), group_by, Page()).items}


def test_tokens_cost_what_their_model_asks(deps: Deps) -> None:
    cost_model(deps)
    take(deps, usage("t1", INPUT), usage("t2", OUTPUT, external_customer_id="cust_2"))
    assert figures(deps) == Figures(Decimal(0), Decimal("0.0075"), Decimal(1500), 2, 0)
    assert {group: f.cost for group, f in groups(deps, GroupBy.CUSTOMER).items()} == {
        "cust_1": Decimal("0.0025"),
        "cust_2": Decimal("0.005"),
    }
    assert groups(deps, GroupBy.MODEL)["gpt-4o"].cost == Decimal("0.0075")
    assert groups(deps, GroupBy.PROVIDER)["openai"].state is MarginState.UNMONETIZED


def test_a_list_of_margins_comes_in_pages(deps: Deps) -> None:
    """By numbers or by tokens: its pages are the list, the lowest margin first and the unknown ones last, each once."""
    cost_model(deps)
    unpriced = {**INPUT, "model": "nobody-knows-this"}
    take(deps, *(usage(f"t{number}", INPUT, external_customer_id=f"c{number}") for number in range(6)))
    take(deps, usage("t6", OUTPUT, external_customer_id="dear"), usage("t7", unpriced, external_customer_id="dark"))
    whole = margins.by_group(deps, ACME, Span(), GroupBy.CUSTOMER, Page(with_total=True))
    assert [margin.group for margin in whole.items] == ["dear", *(f"c{number}" for number in range(6)), "dark"]
    assert whole.total == 8
    seen, token = [], ""
    while len(seen) < 8:
        listed = margins.by_group(deps, ACME, Span(), GroupBy.CUSTOMER, read_page(3, token))
        assert listed.items == margins.by_group(deps, ACME, Span(), GroupBy.CUSTOMER, Page(3, skip=len(seen))).items
        seen += listed.items
        token = listed.next_token
    assert (tuple(seen), token) == (whole.items, "")
    for wrong in (("x", "c", "USD"), ("NaN", "c", "USD"), ("1",)):
        with pytest.raises(InvalidArgumentError):
            margins.by_group(deps, ACME, Span(), GroupBy.CUSTOMER, Page(after=wrong))


def test_usage_without_a_cost_model_leaves_no_entry(deps: Deps) -> None:
    take(deps, usage("t1", INPUT))
    assert figures(deps).state is MarginState.NO_ACTIVITY
    assert figures(deps).coverage_ratio is None


def test_an_unknown_model_is_unpriced_and_lowers_the_coverage(deps: Deps) -> None:
    cost_model(deps)
    take(deps, usage("t1", INPUT), usage("t2", {**INPUT, "model": "nobody-knows-this"}))
    found = figures(deps)
    assert (found.cost, found.unpriced_count, found.coverage_ratio) == (Decimal("0.0025"), 1, Decimal("0.5"))
    (entry,) = lists.list_cost_entries(deps, ACME, EntryFilter(is_unpriced_only=True), Page()).items
    assert (entry.origin.source_id, entry.line.amount) == ("t2", None)


def test_a_voided_event_costs_nothing_any_more(deps: Deps) -> None:
    cost_model(deps)
    take(deps, usage("t1", INPUT), usage("t2", {**INPUT, "model": "nobody-knows-this"}))
    take(deps, usage("t1", is_voided=True), usage("t2", is_voided=True))
    take(deps, usage("t1", is_voided=True))
    assert figures(deps) == Figures(Decimal(0), Decimal(0), Decimal(0), 0, 0)
    entries = lists.list_cost_entries(deps, ACME, EntryFilter(), Page()).items
    assert len(entries) == 4
    assert lists.list_cost_entries(deps, ACME, EntryFilter(is_unpriced_only=True), Page()).items == ()


def test_units_cost_a_fixed_amount_each(deps: Deps) -> None:
    cost_model(deps, PerUnit(Decimal("0.001")))
    cost_model(deps, PerUnit(Decimal("0.5")), metric_code="calls")
    with deps.db.worker_transaction() as tx:
        projections.save_metric(tx, Metric(ACME, "llm_tokens", is_sum=True, field_name="tokens"))
        projections.save_metric(tx, Metric(ACME, "calls", is_sum=False, field_name=""))
    take(deps, usage("t1", {"tokens": "12.5"}), usage("t2", code="calls"), usage("t3", code="calls"))
    assert {group: f.cost for group, f in groups(deps, GroupBy.METRIC).items()} == {
        "llm_tokens": Decimal("0.0125"),
        "calls": Decimal(1),
    }


def test_a_cost_per_unit_waits_for_its_metric_by_itself(deps: Deps) -> None:
    """Usage of a metric that rating has not announced waits; others behind it are costed, a voided one is forgotten."""
    cost_model(deps, PerUnit(Decimal(1)))
    cost_model(deps, metric_code="tokens")
    take(deps, usage("t1"), usage("t2"), usage("t3", INPUT, code="tokens"))
    take(deps, usage("t2", is_voided=True))
    assert figures(deps).cost == Decimal("0.0025")
    announced = Metric(ACME, "llm_tokens", is_sum=False, field_name="")
    for _ in range(2):
        with deps.db.worker_transaction() as tx:
            save_metric(deps, tx, announced)
        assert figures(deps).cost == Decimal("1.0025")


def test_the_time_of_the_event_fixes_the_price(deps: Deps) -> None:
    """A price that changes at an instant costs events before and after it differently, in any order of arrival."""
    cost_model(deps)
    change = datetime(2025, 6, 10, tzinfo=UTC)
    o3 = {**INPUT, "model": "o3", "tokens": 1_000_000}
    take(deps, usage("after", o3, occurred_at=change))
    take(deps, usage("before", o3, occurred_at=change - timedelta(microseconds=1)))
    entries = lists.list_cost_entries(deps, ACME, EntryFilter(model="o3"), Page()).items
    assert {entry.origin.source_id: entry.line.amount for entry in entries} == {
        "after": Decimal(2),
        "before": Decimal(10),
    }


def test_an_own_price_holds_for_its_organization_alone(deps: Deps) -> None:
    price = ProviderPrice("", "OpenAI", "GPT-4o", TokenType.INPUT, Decimal(1), "EUR", effective_from=NOW)
    with deps.db.transaction(ACME) as tx:
        prices.set_provider_price(deps, tx, ACME, price)
    cost_model(deps)
    take(deps, usage("old", INPUT, occurred_at=NOW - timedelta(seconds=1)), usage("new", INPUT))
    found = {margin.currency: margin.figures.cost for margin in margins.summary(deps, ACME, Span())}
    assert found == {"USD": Decimal("0.0025"), "EUR": Decimal("0.001")}
    own = [
        price
        for price in lists.provider_prices(deps, ACME, "openai", "gpt-4o", None)
        if price.token_type is TokenType.INPUT and not price.service_tier
    ]
    others = lists.provider_prices(deps, OTHER, "openai", "gpt-4o", None)
    assert [price.currency for price in own] == ["EUR"]
    assert {price.currency for price in others} == {"USD"}


def test_a_withdrawn_model_costs_nothing_more_and_keeps_what_it_did(deps: Deps) -> None:
    model = cost_model(deps)
    take(deps, usage("t1", INPUT))
    with deps.db.transaction(ACME) as tx:
        cost_models.delete_cost_model(deps, tx, ACME, model.id)
    take(deps, usage("t2", INPUT))
    assert figures(deps).entry_count == 1


def test_a_cost_event_is_recorded_once(deps: Deps) -> None:
    replay = replace(EVENT, cost_event_id="ce-2", occurred_at=NOW + timedelta(minutes=1))
    other = replace(EVENT, tokens=7)
    unknown = replace(EVENT, cost_event_id="ce-3", request_id="req-3", model="nobody-knows-this")
    assert record(deps, EVENT, EVENT, replay, other, unknown) == [
        Outcome.ACCEPTED,
        Outcome.DUPLICATE,
        Outcome.DUPLICATE,
        Outcome.CONFLICT,
        Outcome.UNPRICED,
    ]
    assert record(deps, EVENT, replay, other, unknown) == [
        Outcome.DUPLICATE,
        Outcome.DUPLICATE,
        Outcome.CONFLICT,
        Outcome.DUPLICATE,
    ]
    assert figures(deps) == Figures(Decimal(0), Decimal("0.0025"), Decimal(2000), 2, 1)


def test_of_many_senders_at_once_one_is_first(deps: Deps) -> None:
    outcomes: list[Outcome] = []
    barrier = Barrier(4)

    def send(number: int) -> None:
        barrier.wait()
        outcomes.extend(record(deps, replace(EVENT, cost_event_id=f"ce-{number}")))

    threads = [Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [Outcome.ACCEPTED, *[Outcome.DUPLICATE] * 3]
    assert figures(deps).cost == Decimal("0.0025")


@pytest.mark.parametrize("parent_first", [True, False])
def test_a_parent_tells_the_customer_whenever_it_comes(deps: Deps, *, parent_first: bool) -> None:
    child = replace(EVENT, external_customer_id="", parent_transaction_id="t1")
    if parent_first:
        take(deps, usage("t1", external_customer_id="cust_9"))
    record(deps, child)
    if not parent_first:
        assert groups(deps, GroupBy.CUSTOMER)[""].cost == Decimal("0.0025")
        take(deps, usage("t1", external_customer_id="cust_9"))
    found = groups(deps, GroupBy.CUSTOMER)
    assert found["cust_9"] == Figures(Decimal(0), Decimal("0.0025"), Decimal(1000), 1, 0)
    assert found.get("", Figures()) == Figures()
    entries = lists.list_cost_entries(deps, ACME, EntryFilter("cust_9"), Page()).items
    assert entries[0].origin.subscription_id == SUBSCRIPTION


def test_pages_of_the_ledger_join_without_gap(deps: Deps) -> None:
    cost_model(deps)
    take(deps, *(usage(f"t{number}", INPUT) for number in range(5)))
    first = lists.list_cost_entries(deps, ACME, EntryFilter(), Page(3))
    rest = lists.list_cost_entries(deps, ACME, EntryFilter(), read_page(3, first.next_token))
    assert (len(first.items), len(rest.items), rest.next_token) == (3, 2, "")
    assert len({entry.id for entry in first.items + rest.items}) == 5


@pytest.mark.parametrize("minutes", [(0, 600), (1, 599), (61, 119), (75, 80), (60, 120), (-100, 900)])
def test_windows_count_the_ledger_exactly(deps: Deps, minutes: tuple[int, int]) -> None:
    """Whole hours come from sums that are kept, the rest from the entries; both say the same as the ledger."""
    cost_model(deps)
    start = NOW - timedelta(hours=12)
    times = [start + timedelta(minutes=7 * number, microseconds=number) for number in range(90)]
    unknown = {**INPUT, "model": "nobody-knows-this"}
    take(deps, *(usage(f"t{at}", unknown if at.minute < 9 else INPUT, occurred_at=at) for at in times))
    take(deps, *(usage(f"t{at}", is_voided=True) for at in times[::3]))
    span = Span(*(start + timedelta(minutes=minute) for minute in minutes))
    with deps.db.worker_transaction() as tx:
        row = tx.exec_driver_sql(
            "SELECT coalesce(sum(amount), 0), sum(units), sum(entry_count), "
            "coalesce(sum(entry_count) FILTER (WHERE amount IS NULL), 0) FROM cost_entries "
            "WHERE occurred_at >= %s AND occurred_at < %s",
            (span.start, span.end),
        ).one()
    (margin,) = margins.summary(deps, ACME, span)
    assert margin.figures == (Figures(Decimal(0), *row) if row[1] else Figures())


def test_hours_sum_to_the_ledger(deps: Deps) -> None:
    cost_model(deps)
    take(deps, *(usage(f"t{n}", INPUT, occurred_at=NOW + timedelta(minutes=n)) for n in range(200)))
    take(deps, usage("t5", is_voided=True))
    with deps.db.worker_transaction() as tx:
        (wrong,) = tx.exec_driver_sql(
            """
            SELECT count(*) FROM (
                SELECT date_trunc('hour', occurred_at) AS hour, sum(units) AS units, sum(amount) AS amount
                FROM cost_entries GROUP BY 1) AS ledger
            FULL JOIN (SELECT hour, sum(units) AS units, sum(amount) AS amount FROM cost_hours GROUP BY 1) AS hours
                USING (hour)
            WHERE (ledger.units, ledger.amount) IS DISTINCT FROM (hours.units, hours.amount)
            """
        ).one()
    assert wrong == 0
