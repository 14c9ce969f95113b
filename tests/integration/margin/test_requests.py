"""The request as the unit of costing: parts in any order, each counted once, and cost events before cost models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from threading import Barrier, Thread
from typing import Any

import pytest

from services.chassis.page import Page
from services.kernel.errors import FailedPreconditionError
from services.margin.commands import cost_event as cost_event_commands
from services.margin.commands import cost_model as cost_model_commands
from services.margin.commands.usage import cost_usage, save_metric
from services.margin.deps import Deps
from services.margin.domain import cost_event as cost_event_domain
from services.margin.domain.cost_event import CostEvent, Outcome
from services.margin.domain.cost_model import CostModel, PerModel, PerUnit
from services.margin.domain.margin import Figures, MarginState
from services.margin.domain.projection import Metric, UsageEvent
from services.margin.domain.token import TokenType
from services.margin.queries import cost as cost_queries
from services.margin.queries import margin as margin_queries
from services.margin.queries.margin import Span
from services.margin.store.figure import GroupBy
from services.margin.store.ledger import EntryFilter
from tests.support.margin import ACME, NOW, OTHER, SUBSCRIPTION, usage

TOKENS = {"model": "gpt-4o", "type": "input", "tokens": 1000}
# Gemini 2.5 Pro costs 1.25 and 10 a million up to 200,000 tokens sent, and 2.50 and 15 above.
GEMINI = CostEvent("", "ai_tokens", "t1", "", "req-1", "chat", NOW, "google", "gemini-2.5-pro")
PARTS = [
    replace(GEMINI, cost_event_id="in", token_type=TokenType.INPUT, tokens=150_000),
    replace(GEMINI, cost_event_id="cached", token_type=TokenType.CACHED_INPUT, tokens=60_000),
    replace(GEMINI, cost_event_id="out", token_type=TokenType.OUTPUT, tokens=1_000),
    replace(GEMINI, cost_event_id="think", token_type=TokenType.REASONING, tokens=500),
]
# 150,000 x 2.50 + 60,000 x 0.25 + 1,500 x 15, a million each.
WHOLE = Decimal("0.4125")


def cost_model(deps: Deps, rule: PerUnit | PerModel | None = None) -> None:
    with deps.db.transaction(ACME) as tx:
        model = CostModel("", "tokens", "llm_tokens", rule or PerModel(), "USD", created_at=NOW)
        cost_model_commands.create_cost_model(deps, tx, ACME, model)


def take(deps: Deps, *events: UsageEvent) -> None:
    with deps.db.worker_transaction() as tx:
        cost_usage(deps, tx, events)


def record(deps: Deps, *events: CostEvent) -> Sequence[Outcome]:
    with deps.db.transaction(ACME) as tx:
        return cost_event_commands.record_cost_events(deps, tx, ACME, events)


def settle(deps: Deps) -> None:
    """What the job does: one turn stamps what cost events named, the next settles it where all others have ended."""
    for _ in range(2):
        with deps.db.worker_transaction() as tx:
            cost_event_commands.settle_named(tx)


def figures(deps: Deps) -> Figures:
    return margin_queries.summary(deps, ACME, Span())[0].figures


def standing_lines(deps: Deps) -> dict[str, Decimal | None]:
    """What each event costs now, by its id."""
    entries = cost_queries.list_cost_entries(deps, ACME, EntryFilter(), Page(1000)).items
    taken_back = {entry.reverses_id for entry in entries}
    return {
        entry.origin.source_id: entry.line.amount
        for entry in entries
        if entry.reverses_id is None and entry.id not in taken_back
    }


def test_parts_of_a_request_are_priced_together_in_any_order(deps: Deps) -> None:
    """In any order, in any batches, with repeats in between, under fresh ids or not: the request costs the same."""
    random = Random(7)
    for turn in range(12):
        parts = [
            replace(part, request_id=f"req-{turn}", cost_event_id=f"{part.cost_event_id}-{turn}") for part in PARTS
        ]
        before = figures(deps).priced_cost
        sent = [*parts, *random.choices(parts, k=3)]
        sent += [replace(part, cost_event_id=f"again-{turn}-{number}") for number, part in enumerate(parts)]
        random.shuffle(sent)
        while sent:
            batch = [sent.pop() for _ in range(min(len(sent), random.randint(1, 4)))]
            assert set(record(deps, *batch)) <= {Outcome.ACCEPTED, Outcome.DUPLICATE}
        assert figures(deps).priced_cost - before == WHOLE, turn
    assert figures(deps).entry_count == 12 * len(PARTS)


def test_a_late_part_prices_those_before_it_again(deps: Deps) -> None:
    """A part that crosses the tier takes back what the others cost and books it anew; the ledger shows all of it."""
    record(deps, PARTS[0], PARTS[2])
    assert standing_lines(deps) == {"in": Decimal("0.1875"), "out": Decimal("0.01")}
    record(deps, PARTS[1])
    assert standing_lines(deps) == {"in": Decimal("0.375"), "out": Decimal("0.015"), "cached": Decimal("0.015")}
    kinds = [entry.kind.value for entry in cost_queries.list_cost_entries(deps, ACME, EntryFilter(), Page()).items]
    assert sorted(kinds) == ["original"] * 5 + ["reversal"] * 2
    record(deps, PARTS[3])
    assert figures(deps).cost == WHOLE


def test_parts_at_the_same_time_see_each_other(deps: Deps) -> None:
    """Four senders, each with one part: the last one prices them all, and none of them deadlocks."""
    for turn in range(5):
        barrier = Barrier(len(PARTS))
        before = figures(deps).priced_cost

        def send(part: CostEvent, turn: int = turn, barrier: Barrier = barrier) -> None:
            event = replace(part, request_id=f"req-{turn}", cost_event_id=f"{part.cost_event_id}-{turn}")
            barrier.wait()
            record(deps, event)

        threads = [Thread(target=send, args=(part,)) for part in PARTS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert figures(deps).priced_cost - before == WHOLE


def test_a_request_has_a_bound(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are priced together, so their number is bounded; a part too many is refused and changes nothing."""
    monkeypatch.setattr(cost_event_commands, "MAX_SIBLINGS", 3)
    record(deps, *PARTS[:3])
    cost = figures(deps).cost
    with pytest.raises(FailedPreconditionError) as caught:
        record(deps, PARTS[3])
    assert (caught.value.reason, figures(deps).cost) == ("TOO_MANY_COST_EVENTS", cost)
    assert cost_event_domain.MAX_SIBLINGS == 1000


@pytest.mark.parametrize("rule", [PerModel(), PerUnit(Decimal(5))])
@pytest.mark.parametrize("usage_first", [True, False])
def test_one_call_is_costed_once(deps: Deps, *, usage_first: bool, rule: PerUnit | PerModel) -> None:
    """The usage event's metric has a cost model and a cost event names it: what the cost event says is the cost."""
    cost_model(deps, rule)
    with deps.db.worker_transaction() as tx:
        save_metric(deps, tx, Metric(ACME, "llm_tokens", is_sum=False, field_name=""))
    call = replace(GEMINI, cost_event_id="ce", model="gpt-4o", provider="openai", tokens=2_000_000)
    if usage_first:
        take(deps, usage("t1", TOKENS), usage("t2", TOKENS))
        record(deps, call)
    else:
        record(deps, call)
        take(deps, usage("t1", TOKENS), usage("t2", TOKENS))
    other = Decimal("0.0025") if isinstance(rule, PerModel) else Decimal(5)
    assert standing_lines(deps) == {"ce": Decimal(5), "t2": other}
    take(deps, usage("t1", is_voided=True))
    assert standing_lines(deps) == {"ce": Decimal(5), "t2": other}


def test_usage_and_cost_events_at_the_same_time_are_not_both_counted(deps: Deps) -> None:
    """The second one sees the first, or what was named is checked again when both have ended."""
    cost_model(deps)
    for turn in range(10):
        barrier = Barrier(2)

        def send(work: Callable[[], object], barrier: Barrier = barrier) -> None:
            barrier.wait()
            work()

        call = replace(GEMINI, cost_event_id=f"ce-{turn}", parent_transaction_id=f"t-{turn}", request_id=f"r-{turn}")
        event = usage(f"t-{turn}", TOKENS)
        work: list[Any] = [lambda call=call: record(deps, call), lambda event=event: take(deps, event)]
        threads = [Thread(target=send, args=(part,)) for part in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    settle(deps)
    assert sorted(standing_lines(deps)) == sorted(f"ce-{turn}" for turn in range(10))


def test_usage_that_was_being_costed_while_a_cost_event_named_it_is_settled(deps: Deps) -> None:
    """Neither sees the other; once both have ended, the usage is reversed and the cost is its customer's."""
    cost_model(deps)
    call = replace(PARTS[0], cost_event_id="ce", amount=Decimal(5), parent_transaction_id="t1")
    with deps.db.worker_transaction() as tx:
        cost_usage(deps, tx, [usage("t1", TOKENS, external_customer_id="cust_9")])
        record(deps, call)
        settle(deps)
        assert set(standing_lines(deps)) == {"ce"}, "the usage is not committed yet"
    assert set(standing_lines(deps)) == {"ce", "t1"}
    settle(deps)
    assert set(standing_lines(deps)) == {"ce"}
    entries = cost_queries.list_cost_entries(deps, ACME, EntryFilter(external_customer_id="cust_9"), Page()).items
    assert {entry.origin.source_id for entry in entries} == {"ce", "t1"}
    settle(deps)
    assert set(standing_lines(deps)) == {"ce"}


def test_usage_that_is_booked_leaves_no_second_row(deps: Deps) -> None:
    """The ledger says whose it is; only usage without an entry, and usage that cost events name, has a row."""
    cost_model(deps)
    take(deps, usage("booked", TOKENS), usage("free", code="other"))
    record(deps, replace(PARTS[0], cost_event_id="ce", parent_transaction_id="named"))
    with deps.db.worker_transaction() as tx:
        rows = tx.exec_driver_sql("SELECT transaction_id FROM usage_parents ORDER BY 1").scalars().all()
    assert rows == ["free", "named"]


def test_cost_events_before_their_parent_belong_to_nobody_until_it_comes(deps: Deps) -> None:
    """The parent gives them, re-priced or not, to its customer and subscription, at once and only once."""
    record(deps, PARTS[0])
    record(deps, PARTS[1])
    take(deps, usage("t1", external_customer_id="cust_9"))
    record(deps, PARTS[2], PARTS[3])
    take(deps, usage("t2", external_customer_id="cust_8"))
    by_customer = {
        m.group: m.figures for m in margin_queries.by_group(deps, ACME, Span(), GroupBy.CUSTOMER, Page()).items
    }
    assert {group: (figures.priced_cost, figures.entry_count) for group, figures in by_customer.items()} == {
        "cust_9": (WHOLE, 4)
    }
    entries = cost_queries.list_cost_entries(deps, ACME, EntryFilter("cust_9"), Page()).items
    assert {entry.origin.subscription_id for entry in entries} == {SUBSCRIPTION}


def test_the_same_request_of_another_organization_is_another_request(deps: Deps) -> None:
    """Requests are distinguished by organization: neither sees the other's price or customer."""
    record(deps, PARTS[0])
    with deps.db.transaction(OTHER) as tx:
        cost_event_commands.record_cost_events(deps, tx, OTHER, [PARTS[1], PARTS[2]])
    assert figures(deps).cost == Decimal("0.1875")
    assert margin_queries.summary(deps, OTHER, Span())[0].figures.cost == Decimal("0.0175")


def test_what_nobody_can_price_has_no_cost_and_no_margin(deps: Deps) -> None:
    """Unpriced usage is not free: it has no cost, margin or percent, and a state with the reason.

    A known part is told.
    """
    cost_model(deps)
    take(deps, usage("t1", {**TOKENS, "model": "nobody-knows-this"}))
    found = figures(deps)
    assert (found.cost, found.margin, found.margin_percent) == (None, None, None)
    assert (found.state, found.coverage_ratio, found.unpriced_count) == (MarginState.UNPRICED, Decimal(0), 1)
    take(deps, usage("t2", TOKENS))
    found = figures(deps)
    assert (found.cost, found.state, found.coverage_ratio) == (
        Decimal("0.0025"),
        MarginState.UNMONETIZED,
        Decimal("0.5"),
    )


def test_a_batch_costs_what_a_batch_costs(deps: Deps) -> None:
    """Service tiers of usage events and of cost events: half for a batch, more for priority."""
    cost_model(deps)
    million = {**TOKENS, "tokens": 1_000_000}
    tiers = {"standard": {}, "batch": {"service_tier": "batch"}, "priority": {"service_tier": "priority"}}
    take(deps, *(usage(name, {**million, **tier}) for name, tier in tiers.items()))
    call = replace(GEMINI, parent_transaction_id="p", provider="openai", model="gpt-4o", tokens=1_000_000)
    named = {"": "c-standard", "batch": "c-batch", "priority": "c-priority", "turbo": "c-turbo"}
    record(
        deps,
        *(replace(call, cost_event_id=name, request_id=name, service_tier=tier) for tier, name in named.items()),
    )
    prices = {"standard": Decimal("2.5"), "batch": Decimal("1.25"), "priority": Decimal("4.25")}
    assert standing_lines(deps) == {**prices, **{f"c-{name}": price for name, price in prices.items()}, "c-turbo": None}


def test_one_cost_in_another_currency_hides_nothing(deps: Deps) -> None:
    """The organization's own currency comes first and is always there; others follow, and nothing is converted."""
    euros = replace(GEMINI, cost_event_id="e", external_customer_id="c", amount=Decimal("0.01"), currency="EUR")
    record(deps, euros)
    dollars = replace(GEMINI, cost_event_id="u", external_customer_id="c", request_id="r2", amount=Decimal(7))
    record(deps, dollars)
    found = margin_queries.summary(deps, ACME, Span())
    assert [(margin.currency, margin.figures.cost) for margin in found] == [
        ("USD", Decimal(7)),
        ("EUR", Decimal("0.01")),
    ]
    with deps.db.worker_transaction() as tx:
        tx.exec_driver_sql("INSERT INTO organizations VALUES (%s, 'JPY')", (ACME,))
    found = margin_queries.summary(deps, ACME, Span(), "c")
    assert [margin.currency for margin in found] == ["JPY", "EUR", "USD"]
    assert found[0].figures == Figures()


def test_the_time_of_a_part_is_its_own(deps: Deps) -> None:
    """A price that changes between two parts of a request prices each at its own instant."""
    o3 = replace(GEMINI, provider="openai", model="o3", tokens=1_000_000)
    before = replace(o3, cost_event_id="a", occurred_at=NOW.replace(year=2025, month=6, day=9), operation_key="a")
    after = replace(o3, cost_event_id="b", occurred_at=before.occurred_at + timedelta(days=1), operation_key="b")
    record(deps, after)
    record(deps, before)
    assert standing_lines(deps) == {"a": Decimal(10), "b": Decimal(2)}


def test_a_metric_announced_while_its_usage_begins_to_wait_is_not_missed(deps: Deps) -> None:
    """Usage that begins to wait, and the metric for which it waits, see each other, whichever commits first."""
    cost_model(deps, PerUnit(Decimal(1)))
    for turn in range(10):
        with deps.db.worker_transaction() as tx:
            tx.exec_driver_sql("DELETE FROM metrics")
        barrier = Barrier(2)

        def announce(barrier: Barrier = barrier) -> None:
            barrier.wait()
            with deps.db.worker_transaction() as tx:
                save_metric(deps, tx, Metric(ACME, "llm_tokens", is_sum=False, field_name=""))

        def arrive(barrier: Barrier = barrier, turn: int = turn) -> None:
            barrier.wait()
            take(deps, usage(f"t{turn}", TOKENS))

        threads = [Thread(target=announce), Thread(target=arrive)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert figures(deps).cost == Decimal(turn + 1)
