"""Every route of the dialect, in one table.

The Engine's and Core's trees are served at their own bases and merged at `/api/v1`; where they overlap, one handler
answers both. The first SDK called `/v1/can` and `/v1/margin/…`, which stay as aliases.
"""

from __future__ import annotations

from gateway.dialects.nozle import (
    access,
    checkout,
    costs,
    coupons,
    credit_notes,
    customers,
    events,
    features,
    fees,
    invoices,
    margins,
    metrics,
    plans,
    subscriptions,
    taxes,
    test_clock,
    transitions,
    usage,
)
from gateway.dialects.nozle.not_implemented import NOT_IMPLEMENTED
from gateway.routing import Route, RouteTable

BASES = ("/api/v1", "/engine/api/v1", "/core/api/v1")
LEGACY_BASES = ("/v1",)
# What the Engine answers where the state of a thing forbids a verb; Lago says 405.
CONFLICT = 409
_CUSTOMER = "/customers/{external_customer_id}"
_SUBSCRIPTION = "/subscriptions/{external_id}"

CATALOG = (
    Route("POST", "/billable_metrics", metrics.create),
    Route("GET", "/billable_metrics", metrics.find_all),
    Route("GET", "/billable_metrics/{code}", metrics.find),
    Route("PUT", "/billable_metrics/{code}", metrics.update),
    Route("DELETE", "/billable_metrics/{code}", metrics.delete),
    Route("POST", "/plans", plans.create),
    Route("GET", "/plans", plans.find_all, publishable=True),
    Route("GET", "/plans/{code}", plans.find),
    Route("PUT", "/plans/{code}", plans.update),
    Route("DELETE", "/plans/{code}", plans.delete),
    Route("GET", "/plans/{code}/versions", plans.find_versions),
    Route("POST", "/plans/{code}/version-migrations", plans.migrate),
    Route("POST", "/plans/{code}/version-migrations/preview", plans.preview_migration),
    Route("POST", "/coupons", coupons.create),
    Route("GET", "/coupons", coupons.find_all),
    Route("GET", "/coupons/{code}", coupons.find),
    Route("POST", "/applied_coupons", coupons.apply),
    Route("GET", "/applied_coupons", coupons.find_applied),
    Route("POST", "/taxes", taxes.create),
    Route("GET", "/taxes", taxes.find_all),
    Route("GET", "/taxes/{code}", taxes.find),
    Route("PUT", "/taxes/{code}", taxes.update),
)
CUSTOMERS = (
    Route("POST", "/customers", customers.upsert),
    Route("GET", "/customers", customers.find_all),
    Route("GET", _CUSTOMER, customers.find),
    Route("GET", f"{_CUSTOMER}/current_usage", usage.current),
    Route("GET", f"{_CUSTOMER}/past_usage", usage.past),
    Route("GET", f"{_CUSTOMER}/projected_usage", usage.projected),
    Route("GET", f"{_CUSTOMER}/subscriptions", subscriptions.find_of_customer),
    Route("GET", f"{_CUSTOMER}/invoices", invoices.find_of_customer),
    Route("GET", f"{_CUSTOMER}/credit_notes", credit_notes.find_all),
    Route("GET", f"{_CUSTOMER}/entitlements", features.find_of_customer),
    Route("GET", f"{_CUSTOMER}/applied_coupons", coupons.find_applied),
    Route("DELETE", f"{_CUSTOMER}/applied_coupons/{{id}}", coupons.terminate),
)
SUBSCRIPTIONS = (
    Route("POST", "/checkout", checkout.checkout, state_status=CONFLICT),
    Route("POST", "/subscribe", checkout.subscribe_to_plan, state_status=CONFLICT),
    Route("GET", "/subscriptions/options", transitions.options, state_status=CONFLICT),
    Route("POST", "/subscriptions/preview", transitions.preview_plan, state_status=CONFLICT),
    Route("POST", "/subscriptions/transitions", transitions.apply, state_status=CONFLICT),
    Route("POST", "/subscriptions/transitions/preview", transitions.preview, state_status=CONFLICT),
    Route("POST", "/subscriptions/transitions/withdraw", transitions.withdraw, state_status=CONFLICT),
    Route("POST", "/subscriptions", subscriptions.create),
    Route("GET", "/subscriptions", subscriptions.find_all),
    Route("GET", _SUBSCRIPTION, subscriptions.find),
    Route("DELETE", _SUBSCRIPTION, subscriptions.terminate),
    Route("GET", f"{_SUBSCRIPTION}/entitlements", features.find_of_subscription),
)
EVENTS = (
    Route("POST", "/events", events.create),
    Route("GET", "/events", events.find_all),
    Route("POST", "/events/batch", events.create_batch),
    Route("GET", "/events/{transaction_id}", events.find),
)
INVOICES = (
    Route("POST", "/invoices", invoices.create),
    Route("GET", "/invoices", invoices.find_all),
    Route("GET", "/invoices/{id}", invoices.find),
    Route("PUT", "/invoices/{id}", invoices.update),
    Route("PUT", "/invoices/{id}/finalize", invoices.finalize),
    Route("PUT", "/invoices/{id}/refresh", invoices.refresh),
    Route("POST", "/invoices/{id}/void", invoices.void),
    Route("POST", "/invoices/{id}/download", invoices.download),
    Route("POST", "/invoices/{id}/rebuild", invoices.rebuild),
    Route("GET", "/fees", fees.find_all),
    Route("GET", "/fees/{id}", fees.find),
    Route("GET", "/fees/{id}/explanation", fees.explain),
    Route("POST", "/credit_notes", credit_notes.create),
    Route("POST", "/credit_notes/estimate", credit_notes.estimate),
    Route("GET", "/credit_notes", credit_notes.find_all),
    Route("GET", "/credit_notes/{id}", credit_notes.find),
    Route("PUT", "/credit_notes/{id}/void", credit_notes.void),
)
# What the first SDK already called, without `/api`.
LEGACY = (
    Route("GET", "/can", access.can),
    Route("GET", "/margin/summary", margins.summary),
    Route("GET", "/margin/customers", margins.by_customer),
    Route("GET", "/margin/metrics", margins.by_metric),
    Route("GET", "/margin/plans", margins.by_plan),
    Route("GET", "/margin/models", margins.by_model),
    Route("GET", "/margin/trend", margins.trend),
)
OTHERS = (
    Route("GET", "/ping", checkout.ping),
    Route("POST", "/features", features.create),
    Route("GET", "/features", features.find_all),
    Route("GET", "/features/{code}", features.find),
    Route("PUT", "/features/{code}", features.update),
    Route("DELETE", "/features/{code}", features.delete),
    Route("POST", "/cost-events", costs.record),
    Route("POST", "/cost-models", costs.create_model),
    Route("GET", "/cost-models", costs.find_models),
    Route("DELETE", "/cost-models/{id}", costs.delete_model),
    Route("POST", "/test_clock", test_clock.start),
    Route("GET", "/test_clock", test_clock.find),
    Route("POST", "/test_clock/advance", test_clock.advance),
)
IMPLEMENTED = (*CATALOG, *CUSTOMERS, *SUBSCRIPTIONS, *EVENTS, *INVOICES, *LEGACY, *OTHERS)


def table() -> RouteTable:
    """All routes under all their bases."""
    routes = RouteTable(BASES, (*IMPLEMENTED, *NOT_IMPLEMENTED))
    routes.add(LEGACY_BASES, LEGACY)
    return routes
