"""What a caller may ask: who by the kind of the key, and what by the scopes of a restricted one."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from gateway.auth.keys import Caller
from gateway.problem import Problem


class Scope(StrEnum):
    """Who may call an operation.

    SECRET: the organization's servers, with a `sk_` key. PUBLISHABLE: its front ends too, with a `pk_` key.
    NONE: anybody, without a key.
    """

    SECRET = "secret"  # noqa: S105 - the scope, no secret
    PUBLISHABLE = "publishable"
    NONE = "none"


# Who manages keys may do anything in the end, so reading them is no smaller right.
KEYS = "keys"
# Each area of the API, by the first words of its paths; also of paths that are not offered yet.
_PATHS = {
    "access": "can",
    "analytics": "analytics",
    "catalog": "add_ons billable_metrics cost-models coupons features plans taxes",
    "credits": "check-and-deduct credit-systems credit-top-up-purchases credits entities usage "
    "wallet_transactions wallets",
    "customers": "applied_coupons customer-sessions customers",
    "events": "cost-events events quarantined_events v1 v2",
    "invoices": "credit_notes fees invoices set_aside",
    "logs": "activity_logs api_logs audit_log",
    "margin": "margin",
    "organization": "auth billing billing_entities organizations test_clock",
    "payments": "payment_receipts payment_requests payments",
    "quotes": "order_forms orders quote_versions quotes",
    "subscriptions": "checkout subscribe subscriptions",
    "webhooks": "webhook_endpoints webhooks",
    KEYS: "api_keys",
}
# Says only that the key works, so every key may ask.
_ANYBODYS = frozenset({"ping"})
_AREAS = {word: area for area, words in _PATHS.items() for word in words.split()}
# The last words of paths whose POST changes nothing.
_READING = frozenset({"download", "estimate", "preview", "rebuild"})
# Every scope that a key can have.
SCOPES = frozenset({KEYS, *(f"{area}:{verb}" for area in _PATHS if area != KEYS for verb in ("read", "write"))})


class Asked(Protocol):
    """What must be known of an operation before it is answered."""

    @property
    def scope(self) -> Scope:
        """Who may ask."""

    @property
    def permission(self) -> str:
        """The scope that a restricted key needs; empty if it needs none."""


def permission_of(method: str, path: str) -> str:
    """The scope that a restricted key needs for a route; empty if it needs none.

    Raises:
        LookupError: the path belongs to no area; name it above.
    """
    words = path.strip("/").split("/")
    if words[0] in _ANYBODYS:
        return ""
    area = _AREAS[words[0]]
    is_reading = method == "GET" or words[-1] in _READING
    return area if area == KEYS else f"{area}:{'read' if is_reading else 'write'}"


def require(caller: Caller, asked: Asked) -> None:
    """Refuse a key for what it may not ask.

    Raises:
        Problem: 403.
    """
    if caller.publishable and asked.scope is Scope.SECRET:
        raise Problem(403, "secret_key_required", "a publishable key may only read plans; use a secret key")
    if caller.scopes and asked.permission and asked.permission not in caller.scopes:
        raise Problem(403, "scope_missing", f"this key is restricted; it lacks the scope {asked.permission}")
