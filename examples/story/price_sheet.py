"""What the demo sells and what it pays, and what a month of usage must come to, worked out apart from Farebox.

Amounts here are integers of cents and exact decimals; nothing is imported from the services, so that agreement
between the two means something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

PLAN_CODE = "pro"
BASE_PRICE_CENTS = 2900
API_CALL_PRICE = Decimal("0.002")
# Up to a million tokens at one price, the rest cheaper, and a flat part once the second tier is entered.
FIRST_TIER_TOKENS = 1_000_000
FIRST_TIER_PRICE = Decimal("0.00002")
SECOND_TIER_PRICE = Decimal("0.000015")
SECOND_TIER_FLAT = Decimal("1.50")
API_CALL_LIMIT = 10_000
TOKENS_PER_RATE = 1_000_000
# What the providers ask for a million tokens, in cents.
PROVIDER_RATES: Mapping[str, Mapping[str, int]] = {
    "gpt-4o": {"input": 250, "output": 1000},
    "claude-sonnet": {"input": 300, "output": 1500},
}

METRICS: list[dict[str, Any]] = [
    {"name": "API calls", "code": "api_call", "aggregation_type": "count_agg"},
    {"name": "LLM tokens", "code": "llm_tokens", "aggregation_type": "sum_agg", "field_name": "tokens"},
]
FEATURES: list[dict[str, Any]] = [
    {"code": "analytics", "name": "Analytics", "type": "gate"},
    {"code": "sso", "name": "Single sign-on", "type": "gate"},
    {"code": "api-calls", "name": "API calls", "type": "usage_limit", "billable_metric_code": "api_call"},
]
COST_MODEL = {
    "name": "LLM providers",
    "metric_code": "llm_tokens",
    "cost_type": "per_model",
    "model_rates": {model: dict(rates) for model, rates in PROVIDER_RATES.items()},
}
PLAN: dict[str, Any] = {
    "name": "Pro",
    "code": PLAN_CODE,
    "interval": "monthly",
    "amount_cents": BASE_PRICE_CENTS,
    "amount_currency": "USD",
    "pay_in_advance": False,
    "charges": [
        {
            "billable_metric_id": "api_call",
            "charge_model": "standard",
            "properties": {"amount": str(API_CALL_PRICE)},
        },
        {
            "billable_metric_id": "llm_tokens",
            "charge_model": "graduated",
            "properties": {
                "graduated_ranges": [
                    {
                        "from_value": 0,
                        "to_value": FIRST_TIER_TOKENS,
                        "per_unit_amount": f"{FIRST_TIER_PRICE:f}",
                        "flat_amount": "0",
                    },
                    {
                        "from_value": FIRST_TIER_TOKENS + 1,
                        "to_value": None,
                        "per_unit_amount": f"{SECOND_TIER_PRICE:f}",
                        "flat_amount": str(SECOND_TIER_FLAT),
                    },
                ]
            },
        },
    ],
    "entitlements": [
        {"feature_code": "analytics", "type": "gate", "enabled": True},
        {
            "feature_code": "api-calls",
            "type": "usage_limit",
            "limit": API_CALL_LIMIT,
            "billable_metric_code": "api_call",
        },
    ],
}


@dataclass
class Usage:
    """What a customer used, counted by the demo itself.

    Attributes:
        api_calls: number of calls.
        tokens: by model and kind of token.
    """

    api_calls: int = 0
    tokens: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def all_tokens(self) -> int:
        """Tokens of all models."""
        return sum(self.tokens.values())

    def fees_cents(self) -> dict[str, int]:
        """What the month must cost, by item, in cents; each item is rounded once, half up."""
        return {
            "base price": BASE_PRICE_CENTS,
            "api_call": _cents(self.api_calls * API_CALL_PRICE),
            "llm_tokens": _cents(_tokens_amount(self.all_tokens)),
        }

    def total_cents(self) -> int:
        """What the month's invoice must come to, in cents."""
        return sum(self.fees_cents().values())

    def cost(self, model: str | None = None) -> Decimal:
        """What the providers take for the tokens, of one model or of all, in dollars, exact."""
        cents = sum(
            (
                Decimal(tokens) * PROVIDER_RATES[name][kind] / TOKENS_PER_RATE
                for (name, kind), tokens in self.tokens.items()
                if model in (None, name)
            ),
            Decimal(0),
        )
        return cents / 100


def _tokens_amount(tokens: int) -> Decimal:
    first = min(tokens, FIRST_TIER_TOKENS) * FIRST_TIER_PRICE
    if tokens <= FIRST_TIER_TOKENS:
        return first
    return first + (tokens - FIRST_TIER_TOKENS) * SECOND_TIER_PRICE + SECOND_TIER_FLAT


def _cents(amount: Decimal) -> int:
    return int((amount * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))
