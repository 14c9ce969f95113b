"""Every route that is not an operation yet (gateway/bridge.py); what is ported is deleted from here."""

from __future__ import annotations

from gateway.bridge import Route
from gateway.dialects.nozle import (
    checkout,
    credit_notes,
    events,
    fees,
    invoices,
    subscriptions,
    transitions,
    usage,
)

_CUSTOMER = "/customers/{external_customer_id}"
_SUBSCRIPTION = "/subscriptions/{external_id}"

CUSTOMERS = (
    Route("GET", f"{_CUSTOMER}/current_usage", usage.current),
    Route("GET", f"{_CUSTOMER}/past_usage", usage.past),
    Route("GET", f"{_CUSTOMER}/projected_usage", usage.projected),
    Route("GET", f"{_CUSTOMER}/subscriptions", subscriptions.find_of_customer),
    Route("GET", f"{_CUSTOMER}/invoices", invoices.find_of_customer),
    Route("GET", f"{_CUSTOMER}/credit_notes", credit_notes.find_all),
)
SUBSCRIPTIONS = (
    Route("POST", "/checkout", checkout.checkout),
    Route("POST", "/subscribe", checkout.subscribe_to_plan),
    Route("GET", "/subscriptions/options", transitions.options),
    Route("POST", "/subscriptions/preview", transitions.preview_plan),
    Route("POST", "/subscriptions/transitions", transitions.apply),
    Route("POST", "/subscriptions/transitions/preview", transitions.preview),
    Route("POST", "/subscriptions/transitions/withdraw", transitions.withdraw),
    Route("POST", "/subscriptions", subscriptions.create),
    Route("GET", "/subscriptions", subscriptions.find_all),
    Route("GET", _SUBSCRIPTION, subscriptions.find),
    Route("DELETE", _SUBSCRIPTION, subscriptions.terminate),
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
OTHERS = (Route("GET", "/ping", checkout.ping),)
ROUTES = (*CUSTOMERS, *SUBSCRIPTIONS, *EVENTS, *INVOICES, *OTHERS)
