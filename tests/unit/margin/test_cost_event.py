"""Identity and content of cost events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.kernel.errors import InvalidArgumentError
from services.margin.domain.cost_event import CostEvent, cost_of_event, require_valid
from services.margin.domain.price import PriceBook, Prices
from services.margin.domain.token import TokenType

EVENT = CostEvent("ce-1", "ai_tokens", "tx-1", "", "req-1", "chat", None, "openai", "gpt-4o", TokenType.INPUT, 100)
NOBODYS = PriceBook([], lambda *_: None)


def test_a_replay_with_a_fresh_id_has_the_same_key_and_content() -> None:
    replay = replace(EVENT, cost_event_id="ce-2", occurred_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert (replay.natural_key, replay.content_hash) == (EVENT.natural_key, EVENT.content_hash)


@pytest.mark.parametrize("change", [{"token_type": TokenType.OUTPUT}, {"request_id": "r"}, {"operation_key": "x"}])
def test_another_part_of_a_request_is_another_event(change: dict[str, object]) -> None:
    assert replace(EVENT, **change).natural_key != EVENT.natural_key  # type: ignore[arg-type]


def test_another_count_is_other_content_under_the_same_key() -> None:
    other = replace(EVENT, tokens=101)
    assert other.natural_key == EVENT.natural_key
    assert other.content_hash != EVENT.content_hash


def test_without_a_request_only_the_senders_id_counts() -> None:
    assert replace(EVENT, request_id="").natural_key is None


def test_an_amount_is_the_cost_itself() -> None:
    event = replace(EVENT, amount=Decimal("-0.125"), currency="EUR")
    (line,) = cost_of_event(event, Prices(NOBODYS), at=datetime(2026, 1, 1, tzinfo=UTC))
    assert (line.amount, line.currency, line.token_type, line.units) == (Decimal("-0.125"), "EUR", None, Decimal(1))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cost_event_id": ""}, "e.cost_event_id"),
        ({"cost_meter_code": ""}, "e.cost_meter_code"),
        ({"model": "m" * 256}, "e.model"),
        ({"parent_transaction_id": ""}, "e.external_customer_id"),
        ({"tokens": -1}, "e.tokens"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        require_valid(replace(EVENT, **change), field="e")  # type: ignore[arg-type]
    assert caught.value.violations[0].field == field
