"""Organizations, their keys, and the walls between them."""

from __future__ import annotations

import grpc
import pytest

from farebox.rating.v1 import (
    catalog_service_pb2,
    customer_pb2,
    customer_service_pb2,
    domain_events_pb2,
    organization_pb2,
)
from farebox.rating.v1 import (
    organization_service_pb2 as pb,
)
from services.chassis.rpc.errors import error_info, field_violations
from services.rating.organizations.bootstrap import ensure_bootstrap_key
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.server import Rating, Tenant


def authenticate(rating: Rating, token: str) -> pb.AuthenticateApiKeyResponse:
    request = pb.AuthenticateApiKeyRequest(token=token)
    return rating.organizations.AuthenticateApiKey(request, timeout=PATIENCE_SECONDS)


def secret_key(tenant: Tenant, **fields: object) -> pb.CreateApiKeyResponse:
    request = pb.CreateApiKeyRequest(kind=organization_pb2.ApiKey.KIND_SECRET, name="server", **fields)
    return tenant.call(tenant.rating.organizations.CreateApiKey, request)


def test_a_new_organization_has_defaults_and_is_announced(rating: Rating) -> None:
    tenant = rating.tenant(timezone="Europe/Paris")
    found = tenant.call(rating.organizations.GetOrganization, pb.GetOrganizationRequest()).organization
    assert (found.name, found.timezone, found.default_currency, found.invoice_prefix) == (
        "Acme",
        "Europe/Paris",
        "USD",
        "FBX",
    )
    (body,) = rating.announced("rating.organization.changed")
    assert domain_events_pb2.OrganizationChanged.FromString(body).organization == found


def test_update_changes_what_it_names(tenant: Tenant) -> None:
    request = pb.UpdateOrganizationRequest(organization=organization_pb2.Organization(invoice_grace_period_days=3))
    changed = tenant.call(tenant.rating.organizations.UpdateOrganization, request).organization
    assert (changed.name, changed.invoice_grace_period_days) == ("Acme", 3)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "organization.name"),
        ({"name": "A", "timezone": "Mars/Olympus"}, "organization.timezone"),
        ({"name": "A", "default_currency": "EURO"}, "organization.default_currency"),
        ({"name": "A", "invoice_prefix": "no spaces"}, "organization.invoice_prefix"),
        ({"name": "A", "invoice_grace_period_days": 1000}, "organization.invoice_grace_period_days"),
    ],
)
def test_refusals_name_the_field(rating: Rating, fields: dict[str, object], field: str) -> None:
    request = pb.CreateOrganizationRequest(organization=organization_pb2.Organization(**fields))
    with pytest.raises(grpc.RpcError) as refused:
        rating.organizations.CreateOrganization(request, timeout=PATIENCE_SECONDS)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in field_violations(refused.value)] == [field]


def test_a_repeated_request_makes_one_organization(rating: Rating) -> None:
    wanted = organization_pb2.Organization(name="Acme", test_mode=True)
    request = pb.CreateOrganizationRequest(request_id="once", organization=wanted)
    first = rating.organizations.CreateOrganization(request, timeout=PATIENCE_SECONDS)
    assert rating.organizations.CreateOrganization(request, timeout=PATIENCE_SECONDS) == first
    request.organization.name = "Other"
    with pytest.raises(grpc.RpcError) as refused:
        rating.organizations.CreateOrganization(request, timeout=PATIENCE_SECONDS)
    assert error_info(refused.value)[0] == "REQUEST_ID_REUSED"


def test_a_key_tells_whose_it_is_until_it_is_revoked(tenant: Tenant) -> None:
    made = secret_key(tenant)
    assert made.token.startswith("sk_test_")
    assert made.token.startswith(made.api_key.hint)
    found = authenticate(tenant.rating, made.token)
    assert (found.organization.id, found.api_key) == (tenant.organization_id, made.api_key)
    tenant.call(tenant.rating.organizations.RevokeApiKey, pb.RevokeApiKeyRequest(api_key_id=made.api_key.id))
    with pytest.raises(grpc.RpcError) as refused:
        authenticate(tenant.rating, made.token)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_live_and_publishable_keys_say_so(rating: Rating) -> None:
    live = rating.tenant(test_mode=False)
    request = pb.CreateApiKeyRequest(kind=organization_pb2.ApiKey.KIND_PUBLISHABLE)
    assert live.call(rating.organizations.CreateApiKey, request).token.startswith("pk_live_")


def test_a_key_is_stored_nowhere(tenant: Tenant) -> None:
    """Neither the table of keys nor the answers of requests hold it."""
    token = secret_key(tenant, request_id="key-1").token
    with tenant.rating.deps.db.worker_transaction() as tx:
        for table in ("api_keys", "requests"):
            rows = tx.exec_driver_sql(f"SELECT {table}::text AS line FROM {table}").scalars().all()
            assert not [line for line in rows if token in line or token.encode().hex() in line]
    with pytest.raises(grpc.RpcError) as refused:
        secret_key(tenant, request_id="key-1")
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS


def test_keys_are_listed_newest_first_in_pages(tenant: Tenant) -> None:
    made = [secret_key(tenant).api_key.id for _ in range(3)]
    request = pb.ListApiKeysRequest()
    request.page.page_size = 2
    first = tenant.call(tenant.rating.organizations.ListApiKeys, request)
    request.page.page_token = first.page.next_page_token
    rest = tenant.call(tenant.rating.organizations.ListApiKeys, request)
    assert [key.id for key in (*first.api_keys, *rest.api_keys)] == made[::-1]
    assert not rest.page.next_page_token


def test_the_bootstrap_key_is_made_once(rating: Rating) -> None:
    for _ in range(2):
        ensure_bootstrap_key(rating.deps, "sk_test_farebox_local_development")
    found = authenticate(rating, "sk_test_farebox_local_development")
    assert found.organization.test_mode
    assert len(rating.announced("rating.organization.changed")) == 1


def test_one_organization_cannot_see_another(rating: Rating) -> None:
    """Whatever one asks for by code, id or list, the other's is not there."""
    owner, stranger = rating.tenant(), rating.tenant(name="Other")
    owner.metric("api_call")
    owner.plan("pro")
    customer = customer_pb2.Customer(external_id="alice")
    owner.call(rating.customers.UpsertCustomer, customer_service_pb2.UpsertCustomerRequest(customer=customer))
    key = secret_key(owner).api_key
    reads = (
        (rating.catalog.GetBillableMetric, catalog_service_pb2.GetBillableMetricRequest(code="api_call")),
        (rating.catalog.GetPlan, catalog_service_pb2.GetPlanRequest(code="pro")),
        (rating.customers.GetCustomer, customer_service_pb2.GetCustomerRequest(external_id="alice")),
        (rating.organizations.RevokeApiKey, pb.RevokeApiKeyRequest(api_key_id=key.id)),
    )
    for method, request in reads:
        with pytest.raises(grpc.RpcError) as refused:
            stranger.call(method, request)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    lists = (
        stranger.call(rating.catalog.ListPlans, catalog_service_pb2.ListPlansRequest()).plans,
        stranger.call(rating.customers.ListCustomers, customer_service_pb2.ListCustomersRequest()).customers,
        stranger.call(rating.organizations.ListApiKeys, pb.ListApiKeysRequest()).api_keys,
    )
    assert not any(lists)
    # The same codes are free for the other.
    stranger.metric("api_call")
    stranger.plan("pro")


def test_row_security_holds_where_a_query_forgets_the_organization(rating: Rating) -> None:
    """The wall is the database's, not the queries'."""
    owner, stranger = rating.tenant(), rating.tenant(name="Other")
    owner.metric("api_call")
    with rating.deps.db.transaction(stranger.organization_id) as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM billable_metrics").scalar_one() == 0
        assert tx.exec_driver_sql("SELECT count(*) FROM organizations").scalar_one() == 1
