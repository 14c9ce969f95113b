"""What Lago's and Nozle's clients can ask and Farebox does not answer yet: 501, where a 404 would look like a typo.

One line a path: its methods, then the path below the base.
"""

from __future__ import annotations

from typing import Any

from gateway.bridge import Route
from gateway.call import Call
from gateway.problem import not_implemented

_PATHS = """
GET /activity_logs
GET /activity_logs/{id}
GET POST /add_ons
DELETE GET PUT /add_ons/{id}
GET /analytics/gross_revenue
GET /analytics/invoice_collection
GET /analytics/invoiced_usage
GET /analytics/mrr
GET /analytics/overdue_balance
GET /analytics/usage
GET /api_logs
GET /api_logs/{id}
GET /auth/centrifugo-token
GET /auth/ws-token
POST /billable_metrics/evaluate_expression
GET /billing/status
POST /billing/upgrade
GET POST /billing_entities
GET PUT /billing_entities/{id}
POST /check-and-deduct
GET /checkout/{id}
POST /checkout/{id}/verify
DELETE PUT /coupons/{id}
GET /credit-systems
POST /credit-top-up-purchases
PUT /credit_notes/{id}
POST /credit_notes/{id}/download
DELETE PATCH POST /credit_notes/{id}/metadata
DELETE /credit_notes/{id}/metadata/{id2}
GET /credits/{id}/balance
POST /customer-sessions
DELETE /customers/{id}
POST /customers/{id}/checkout_url
GET /customers/{id}/credit-operations
GET /customers/{id}/credit-systems
GET /customers/{id}/credit-systems/{id2}/balance
GET /customers/{id}/entities
POST /customers/{id}/entities/bulk-upsert
DELETE GET PUT /customers/{id}/entities/{id2}
POST /customers/{id}/entities/{id2}/credit-allocations
POST /customers/{id}/entities/{id2}/credit-deallocations
GET /customers/{id}/entities/{id2}/credit-operations
GET /customers/{id}/entities/{id2}/credit-systems
GET /customers/{id}/entities/{id2}/credit-systems/{id3}/balance
DELETE GET PUT /customers/{id}/entities/{id2}/subscription
POST /customers/{id}/entities/{id2}/subscription/cancel
POST /customers/{id}/entities/{id2}/subscription/change-plan
POST /customers/{id}/entities/{id2}/subscription/checkout
GET /customers/{id}/entity-subscriptions
POST /customers/{id}/entity-subscriptions/checkout
POST /customers/{id}/payment-method/manage
GET /customers/{id}/payment_methods
DELETE /customers/{id}/payment_methods/{id2}
PUT /customers/{id}/payment_methods/{id2}/set_as_default
GET /customers/{id}/payment_requests
GET /customers/{id}/payments
GET /customers/{id}/portal_url
GET POST /customers/{id}/wallets
DELETE GET PUT /customers/{id}/wallets/{id2}
DELETE GET POST /customers/{id}/wallets/{id2}/alerts
DELETE GET PUT /customers/{id}/wallets/{id2}/alerts/{id3}
DELETE PATCH POST /customers/{id}/wallets/{id2}/metadata
DELETE /customers/{id}/wallets/{id2}/metadata/{id3}
POST /events/batch_estimate_instant_fees
POST /events/estimate_fees
POST /events/estimate_instant_fees
DELETE /features/{id}/privileges/{id2}
DELETE PUT /fees/{id}
POST /invoices/preview
DELETE /invoices/{id}
POST /invoices/{id}/lose_dispute
POST /invoices/{id}/payment_url
POST /invoices/{id}/retry
POST /invoices/{id}/retry_payment
POST /margin/simulate
PUT /organizations
GET /payment_receipts
GET /payment_receipts/{id}
GET POST /payment_requests
GET /payment_requests/{id}
GET POST /payments
GET /payments/{id}
GET POST /plans/{id}/charges
DELETE GET PUT /plans/{id}/charges/{id2}
GET POST /plans/{id}/charges/{id2}/filters
DELETE GET PUT /plans/{id}/charges/{id2}/filters/{id3}
GET PATCH POST /plans/{id}/entitlements
DELETE GET /plans/{id}/entitlements/{id2}
DELETE /plans/{id}/entitlements/{id2}/privileges/{id3}
GET POST /plans/{id}/fixed_charges
DELETE GET PUT /plans/{id}/fixed_charges/{id2}
DELETE PATCH POST /plans/{id}/metadata
DELETE /plans/{id}/metadata/{id2}
GET /plans/{id}/version-migrations
GET /plans/{id}/version-migrations/{id2}
POST /plans/{id}/version-migrations/{id2}/cancel
POST /subscriptions/change
GET /subscriptions/current
PUT /subscriptions/{id}
DELETE GET POST /subscriptions/{id}/alerts
DELETE GET PUT /subscriptions/{id}/alerts/{id2}
GET /subscriptions/{id}/charges
GET PUT /subscriptions/{id}/charges/{id2}
GET POST /subscriptions/{id}/charges/{id2}/filters
DELETE GET PUT /subscriptions/{id}/charges/{id2}/filters/{id3}
PATCH /subscriptions/{id}/entitlements
DELETE /subscriptions/{id}/entitlements/{id2}
DELETE /subscriptions/{id}/entitlements/{id2}/privileges/{id3}
GET /subscriptions/{id}/fixed_charges
GET PUT /subscriptions/{id}/fixed_charges/{id2}
GET PUT /subscriptions/{id}/lifetime_usage
DELETE /taxes/{id}
POST /usage/check
POST /usage/track
GET /usage/{id}/{id2}
POST /wallet_transactions
GET /wallet_transactions/{id}
GET /wallet_transactions/{id}/consumptions
GET /wallet_transactions/{id}/fundings
POST /wallet_transactions/{id}/payment_url
GET POST /wallets
DELETE GET PUT /wallets/{id}
DELETE PATCH POST /wallets/{id}/metadata
DELETE /wallets/{id}/metadata/{id2}
GET /wallets/{id}/wallet_transactions
GET POST /webhook_endpoints
DELETE GET PUT /webhook_endpoints/{id}
GET /webhooks/json_public_key
GET /webhooks/public_key
"""


async def refuse(_: Call) -> Any:
    """Answer 501."""
    raise not_implemented()


def _routes(line: str) -> list[Route]:
    *methods, path = line.split()
    return [Route(method, path, refuse) for method in methods]


NOT_IMPLEMENTED = tuple(route for line in _PATHS.strip().splitlines() for route in _routes(line))
