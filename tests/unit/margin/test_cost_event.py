"""Identity and content of cost events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.kernel.errors import InvalidArgumentError
from services.margin.domain.cost_event import CostEvent, cost_of_events, require_valid
from services.margin.domain.price import CatalogName, PriceBook, Prices, ProviderPrice
from services.margin.domain.token import TokenType

EVENT = CostEvent("ce-1", "ai_tokens", "tx-1", "", "req-1", "chat", None, "openai", "gpt-4o", TokenType.INPUT, 100)
NOBODYS = PriceBook([], lambda *_: None)
AT = datetime(2026, 1, 1, tzinfo=UTC)


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
    (line,) = cost_of_events([replace(event, occurred_at=AT)], Prices(NOBODYS))
    assert (line.amount, line.currency, line.token_type, line.units) == (Decimal("-0.125"), "EUR", None, Decimal(1))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cost_event_id": ""}, "e.cost_event_id"),
        ({"cost_meter_code": ""}, "e.cost_meter_code"),
        ({"model": "m" * 201}, "e.model"),
        ({"provider": "\N{GRINNING FACE}" * 51}, "e.provider"),
        ({"amount": Decimal("1e15") + 1}, "e.amount"),
        ({"request_id": "r" * 256}, "e.request_id"),
        ({"parent_transaction_id": ""}, "e.external_customer_id"),
        ({"tokens": -1}, "e.tokens"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        require_valid(replace(EVENT, **change), field="e")  # type: ignore[arg-type]
    assert caught.value.violations[0].field == field


def tiered() -> Prices:
    """A model whose requests of more than 200,000 tokens cost ten times as much."""
    rows = [
        ProviderPrice(f"{kind}-{above}", "acme", "m", kind, Decimal(price), "USD", above_input_tokens=above)
        for kind, above, price in (
            (TokenType.INPUT, 0, "1"),
            (TokenType.INPUT, 200_000, "10"),
            (TokenType.CACHED_INPUT, 0, "0.5"),
            (TokenType.CACHED_INPUT, 200_000, "5"),
            (TokenType.OUTPUT, 0, "2"),
            (TokenType.OUTPUT, 200_000, "20"),
        )
    ]
    names = {"m", "acme/m"}
    return Prices(PriceBook(rows, lambda _, model: CatalogName("acme", "m", "acme") if model in names else None))


def part(kind: TokenType, tokens: int, **fields: object) -> CostEvent:
    identity = f"{kind}-{tokens}-{len(fields)}"
    given = {"provider": "acme", "model": "m", "occurred_at": AT, "token_type": kind, "tokens": tokens, **fields}
    return replace(EVENT, cost_event_id=identity, **given)  # type: ignore[arg-type]


def test_the_tier_is_chosen_by_all_that_was_sent_in_the_request() -> None:
    """150,000 and 60,000 tokens are no large requests by themselves; together they are one, its output included."""
    parts = [part(TokenType.INPUT, 150_000), part(TokenType.CACHED_INPUT, 60_000), part(TokenType.OUTPUT, 1_000)]
    assert [line.amount for line in cost_of_events(parts, tiered())] == [
        Decimal("1.5"),
        Decimal("0.3"),
        Decimal("0.02"),
    ]
    assert [cost_of_events([part], tiered())[0].amount for part in parts] == [
        Decimal("0.15"),
        Decimal("0.03"),
        Decimal("0.002"),
    ]


def test_another_model_in_the_same_request_has_its_own_size_however_it_is_written() -> None:
    """What was sent is summed by model and service tier, not by the way the name is written."""
    parts = [
        part(TokenType.INPUT, 150_000),
        part(TokenType.CACHED_INPUT, 60_000, model="acme/m"),
        part(TokenType.INPUT, 1_000_000, model="other"),
        part(TokenType.OUTPUT, 7, amount=Decimal("0.5")),
    ]
    assert [line.amount for line in cost_of_events(parts, tiered())] == [
        Decimal("1.5"),
        Decimal("0.3"),
        None,
        Decimal("0.5"),
    ]
    apart = [part(TokenType.INPUT, 150_000), part(TokenType.INPUT, 150_000, service_tier="batch")]
    assert [line.amount for line in cost_of_events(apart, tiered())] == [Decimal("0.15"), None]


def test_a_wrong_event_is_told_all_that_is_wrong() -> None:
    """Every wrong field of an event is named at once."""
    with pytest.raises(InvalidArgumentError) as caught:
        require_valid(replace(EVENT, cost_meter_code="", tokens=-1), field="e")
    assert [violation.field for violation in caught.value.violations] == ["e.cost_meter_code", "e.tokens"]
