"""The organization's own settings over REST."""

from __future__ import annotations

from farebox.rating.v1 import organization_service_pb2
from farebox.rating.v1.organization_pb2 import Organization
from tests.support.gateway import PUBLISHABLE, Gateway, new_gateway

ORGANIZATION = Organization(
    id="o1",
    name="Seller",
    test_mode=True,
    default_currency="EUR",
    timezone="Europe/Paris",
    invoice_grace_period_days=3,
    duplicate_events=Organization.DUPLICATE_EVENTS_REJECT,
    late_events=Organization.LATE_EVENTS_ADJUST,
    invoice_prefix="INV",
)


def serving() -> Gateway:
    gateway = new_gateway()
    gateway.services.on("GetOrganization", organization_service_pb2.GetOrganizationResponse(organization=ORGANIZATION))
    gateway.services.on(
        "UpdateOrganization", organization_service_pb2.UpdateOrganizationResponse(organization=ORGANIZATION)
    )
    return gateway


def test_settings_are_told_as_they_are() -> None:
    """A caller who may change a setting can also read it."""
    told = serving().get("/api/v1/organizations").json()["organization"]
    assert (told["name"], told["test_mode"], told["net_payment_term"]) == ("Seller", True, 0)
    assert (told["duplicate_events"], told["late_events"]) == ("reject", "adjust")
    assert (told["document_number_prefix"], told["billing_configuration"]) == ("INV", {"invoice_grace_period": 3})


def test_a_change_names_what_changes() -> None:
    """0 days is a valid setting, and the other settings stay."""
    gateway = serving()
    body = {"net_payment_term": 0, "duplicate_events": "accept", "billing_configuration": {"invoice_grace_period": 0}}
    assert gateway.send("PUT", "/api/v1/organizations", json={"organization": body}).is_success
    (request,) = gateway.services.requests("UpdateOrganization")
    assert sorted(request.update_mask.paths) == [
        "duplicate_events",
        "invoice_grace_period_days",
        "net_payment_term_days",
    ]
    assert request.organization.duplicate_events == Organization.DUPLICATE_EVENTS_ACCEPT


def test_what_is_not_kept_is_refused_by_its_name() -> None:
    """An address or a webhook that nobody reads is never taken in silence."""
    body = {
        "webhook_url": "https://x",
        "country": "FR",
        "document_numbering": "per_customer",
        "duplicate_events": "drop",
    }
    answer = serving().send("PUT", "/api/v1/organizations", json={"organization": body})
    assert answer.json()["error_details"] == {
        "webhook_url": ["not_available"],
        "country": ["not_available"],
        "document_numbering": ["not_available"],
        "duplicate_events": ["value_is_invalid"],
    }


def test_a_browsers_key_does_not_reach_it() -> None:
    gateway = serving()
    gateway.key = PUBLISHABLE
    assert gateway.get("/api/v1/organizations").status_code == 403
