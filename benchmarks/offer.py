"""What the benchmarks of the whole system sell over REST: one metric, which a plan charges for and limits."""

from __future__ import annotations

from collections.abc import Mapping

from farebox.testing import Rest

METRIC = {"name": "API calls", "code": "api_call", "aggregation_type": "count_agg"}
FEATURE = {"code": "calls", "name": "Calls", "type": "usage_limit", "billable_metric_code": "api_call"}
# More than any benchmark counts, so that nobody is ever refused.
ALLOWED = {"feature_code": "calls", "type": "usage_limit", "limit": 1_000_000_000, "billable_metric_code": "api_call"}
PLAN = {
    "name": "Pro",
    "code": "pro",
    "interval": "monthly",
    "amount_cents": 0,
    "amount_currency": "USD",
    "pay_in_advance": False,
    "charges": [{"billable_metric_id": "api_call", "charge_model": "standard", "properties": {"amount": "0.01"}}],
    "entitlements": [ALLOWED],
}


def sell(rest: Rest, subscriptions: Mapping[str, str]) -> None:
    """Put the plan on sale, and each customer on it.

    Args:
        rest: of an organization that has nothing yet.
        subscriptions: the id of each customer's subscription.
    """
    rest.post("/billable_metrics", {"billable_metric": METRIC})
    rest.post("/features", {"feature": FEATURE})
    rest.post("/plans", {"plan": PLAN})
    for customer, subscription in subscriptions.items():
        rest.post("/checkout", {"customer_id": customer, "plan_code": "pro", "subscription_id": subscription})
