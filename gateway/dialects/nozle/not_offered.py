"""What Nozle's clients can ask and Farebox does not offer, with the reason."""

from __future__ import annotations

from gateway.dialects.lago.not_offered import absent

_CREDITS = (
    "credits are deducted by `/customers/{id}/credit-systems/{code}/deductions`; limits are checked by `GET /can`"
)

NOT_OFFERED = absent(
    {
        "there is no push channel; ask `GET /can` again": """
        GET /auth/centrifugo-token
        GET /auth/ws-token
    """,
        "what a customer is billed is read from `/subscriptions` and `/invoices`, and changed by `/checkout`": """
        GET /billing/status
        POST /billing/upgrade
        GET /subscriptions/current
        POST /subscriptions/change
    """,
        "Farebox collects no payments, so that every checkout is completed at once": """
        GET /checkout/{id}
        POST /checkout/{id}/verify
        POST /customers/{external_customer_id}/payment-method/manage
    """,
        _CREDITS: """
        POST /check-and-deduct
        POST /credit-top-up-purchases
        GET /credits/{id}/balance
        GET /customers/{external_customer_id}/credit-operations
        POST /usage/check
        POST /usage/track
        GET /usage/{external_customer_id}/{code}
    """,
        "there is no portal for customers": """
        POST /customer-sessions
    """,
        "a customer has no entities within; each may be a customer, or a subscription, of its own": """
        GET /customers/{external_customer_id}/entities
        POST /customers/{external_customer_id}/entities/bulk-upsert
        DELETE GET PUT /customers/{external_customer_id}/entities/{id}
        POST /customers/{external_customer_id}/entities/{id}/credit-allocations
        POST /customers/{external_customer_id}/entities/{id}/credit-deallocations
        GET /customers/{external_customer_id}/entities/{id}/credit-operations
        GET /customers/{external_customer_id}/entities/{id}/credit-systems
        GET /customers/{external_customer_id}/entities/{id}/credit-systems/{code}/balance
        DELETE GET PUT /customers/{external_customer_id}/entities/{id}/subscription
        POST /customers/{external_customer_id}/entities/{id}/subscription/cancel
        POST /customers/{external_customer_id}/entities/{id}/subscription/change-plan
        POST /customers/{external_customer_id}/entities/{id}/subscription/checkout
        GET /customers/{external_customer_id}/entity-subscriptions
        POST /customers/{external_customer_id}/entity-subscriptions/checkout
    """,
        "margins are measured, not simulated": """
        POST /margin/simulate
    """,
        "a migration is done at once and not kept; each move is withdrawn by `/subscriptions/transitions/withdraw`": """
        GET /plans/{code}/version-migrations
        GET /plans/{code}/version-migrations/{id}
        POST /plans/{code}/version-migrations/{id}/cancel
    """,
    }
)
