"""Lago's routes that Farebox does not offer, with reasons: they answer 501, because a 404 would look like a typo."""

from __future__ import annotations

from gateway.operation import NotOffered, not_offered

_PAYMENTS = "Farebox collects no payments; whoever does reports them (`POST /payments`, `PUT /invoices/{id}`)"
_WALLETS = "there are no wallets; what is given is a coupon, what is given back a credit note"
_ESTIMATES = (
    "fees of single events are not estimated; `GET /customers/{external_customer_id}/current_usage` prices usage"
)
_OVERRIDES = "a subscription has its plan's terms; whoever needs other terms gets a plan of their own"

# Methods and paths by reason, one on each line.
_REASONS = {
    "`GET /audit_log` says who changed what; its entries name commands and things as we do, not by Lago's ids": """
        GET /activity_logs
        GET /activity_logs/{id}
    """,
    "requests are not logged with their bodies; `GET /audit_log` says who changed what": """
        GET /api_logs
        GET /api_logs/{id}
    """,
    "usage is counted by billing period; `/customers/{external_customer_id}/past_usage` has a customer's": """
        GET /analytics/usage
    """,
    "metrics have no expressions; an event brings what is counted as a property": """
        POST /billable_metrics/evaluate_expression
    """,
    "an organization is its one billing entity": """
        POST /billing_entities
    """,
    "a credit note does not change, but for being used up or voided": """
        PUT /credit_notes/{id}
    """,
    "there is no portal for customers": """
        GET /customers/{external_customer_id}/portal_url
    """,
    _PAYMENTS: """
        POST /customers/{external_customer_id}/checkout_url
        GET /customers/{external_customer_id}/payment_methods
        DELETE /customers/{external_customer_id}/payment_methods/{id}
        PUT /customers/{external_customer_id}/payment_methods/{id}/set_as_default
        GET /customers/{external_customer_id}/payment_requests
        POST /invoices/{id}/payment_url
        POST /invoices/{id}/retry_payment
        GET POST /payment_requests
        GET /payment_requests/{id}
    """,
    _WALLETS: """
        GET POST /customers/{external_customer_id}/wallets
        DELETE GET PUT /customers/{external_customer_id}/wallets/{code}
        DELETE GET POST /customers/{external_customer_id}/wallets/{code}/alerts
        DELETE GET PUT /customers/{external_customer_id}/wallets/{code}/alerts/{alert_code}
        DELETE PATCH POST /customers/{external_customer_id}/wallets/{code}/metadata
        DELETE /customers/{external_customer_id}/wallets/{code}/metadata/{key}
        GET POST /wallets
        DELETE GET PUT /wallets/{id}
        DELETE PATCH POST /wallets/{id}/metadata
        DELETE /wallets/{id}/metadata/{key}
        GET /wallets/{id}/wallet_transactions
        POST /wallet_transactions
        GET /wallet_transactions/{id}
        GET /wallet_transactions/{id}/consumptions
        GET /wallet_transactions/{id}/fundings
        POST /wallet_transactions/{id}/payment_url
    """,
    _ESTIMATES: """
        POST /events/batch_estimate_instant_fees
        POST /events/estimate_fees
        POST /events/estimate_instant_fees
    """,
    "a feature has one value of its own type and no privileges": """
        DELETE /features/{code}/privileges/{privilege_code}
        DELETE /plans/{code}/entitlements/{feature_code}/privileges/{privilege_code}
        DELETE /subscriptions/{external_id}/entitlements/{feature_code}/privileges/{privilege_code}
    """,
    "a fee changes with its invoice, and never by itself": """
        DELETE PUT /fees/{id}
    """,
    "an invoice is voided, never deleted": """
        DELETE /invoices/{id}
    """,
    "no invoice fails: nobody else has a part in making it": """
        POST /invoices/{id}/retry
    """,
    "offers are made and signed outside of Farebox": """
        GET /order_forms
        GET /order_forms/{id}
        POST /order_forms/{id}/mark_as_signed
        POST /order_forms/{id}/void
        GET /orders
        GET /orders/{id}
        POST /orders/{id}/execute
        GET /quote_versions/{id}
        POST /quote_versions/{id}/approve
        POST /quote_versions/{id}/clone
        POST /quote_versions/{id}/void
        GET /quotes
        GET /quotes/{id}
        GET /quotes/{id}/versions
    """,
    "there are no fixed charges; a recurring metric counts seats, the base price is what never changes": """
        GET POST /plans/{code}/fixed_charges
        DELETE GET PUT /plans/{code}/fixed_charges/{charge_code}
        GET /subscriptions/{external_id}/fixed_charges
        GET PUT /subscriptions/{external_id}/fixed_charges/{charge_code}
    """,
    "there are no alerts on usage; a usage limit of the plan stops or reports it": """
        DELETE GET POST /subscriptions/{external_id}/alerts
        DELETE GET PUT /subscriptions/{external_id}/alerts/{code}
    """,
    _OVERRIDES: """
        PUT /subscriptions/{external_id}/charges/{charge_code}
        POST /subscriptions/{external_id}/charges/{charge_code}/filters
        DELETE PUT /subscriptions/{external_id}/charges/{charge_code}/filters/{id}
    """,
    "usage is added up by billing period, not over a subscription's life": """
        GET PUT /subscriptions/{external_id}/lifetime_usage
    """,
    "webhooks are not sent; domain events are on the bus": """
        GET POST /webhook_endpoints
        DELETE GET PUT /webhook_endpoints/{id}
        GET /webhooks/json_public_key
        GET /webhooks/public_key
    """,
}


def absent(reasons: dict[str, str]) -> tuple[NotOffered, ...]:
    """The routes in a table of reasons: methods and a path on each line."""
    return tuple(
        route
        for reason, table in reasons.items()
        for line in table.strip().splitlines()
        for methods, _, path in (line.strip().rpartition(" "),)
        for route in not_offered(methods, path, reason)
    )


NOT_OFFERED = absent(_REASONS)
