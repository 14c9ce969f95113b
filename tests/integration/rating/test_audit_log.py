"""Every command of rating leaves an entry in its own transaction, and the chain shows what was altered afterwards."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from sqlalchemy.exc import DBAPIError

from farebox.rating.v1 import audit_log_service_pb2 as pb
from farebox.rating.v1 import catalog_service_pb2, customer_service_pb2, organization_service_pb2
from farebox.rating.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from farebox.rating.v1.customer_pb2 import Customer
from farebox.rating.v1.organization_pb2 import ApiKey
from services.chassis import audit
from services.chassis.audit import ACTOR_KEY, CALLERS_REQUEST_KEY
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.errors import field_violations
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.server import Rating, Tenant, metric


def customer(tenant: Tenant, name: str, **fields: Any) -> None:
    """Create or rename a customer, as the gateway asks for it."""
    metadata = [(ORGANIZATION_KEY, tenant.organization_id), (ACTOR_KEY, "key-1"), (CALLERS_REQUEST_KEY, f"r-{name}")]
    request = customer_service_pb2.UpsertCustomerRequest(customer=Customer(external_id="acme", name=name), **fields)
    tenant.rating.customers.UpsertCustomer(request, metadata=metadata, timeout=PATIENCE_SECONDS)


def entries(tenant: Tenant, **filters: Any) -> list[pb.AuditEntry]:
    stub = AuditLogServiceStub(tenant.rating.channel)
    return list(tenant.call(stub.ListAuditEntries, pb.ListAuditEntriesRequest(**filters)).entries)


def chain(rating: Rating) -> int:
    with rating.deps.db.worker_transaction() as tx:
        return audit.chain(tx)


def verified(tenant: Tenant, after_number: int = 0) -> pb.VerifyAuditLogResponse:
    request = pb.VerifyAuditLogRequest(after_number=after_number)
    answer: pb.VerifyAuditLogResponse = tenant.call(AuditLogServiceStub(tenant.rating.channel).VerifyAuditLog, request)
    return answer


def test_an_entry_says_who_what_and_from_what_to_what(tenant: Tenant) -> None:
    customer(tenant, "Acme")
    customer(tenant, "Acme Corp")
    newest, first = entries(tenant)
    told = (newest.actor, newest.request_id, newest.action, newest.subject, newest.subject_id)
    assert told == ("key-1", "r-Acme Corp", "UpsertCustomer", "customer", "acme")
    assert (json.loads(newest.before)["name"], json.loads(newest.after)["name"]) == ("Acme", "Acme Corp")
    assert (first.before, json.loads(first.after)["name"]) == ("", "Acme")


def test_what_changes_nothing_leaves_no_entry(tenant: Tenant) -> None:
    """A refused command, a repeat, and nobody else's: entries are their organization's."""
    customer(tenant, "Acme", request_id="once")
    customer(tenant, "Acme", request_id="once")
    faulty = catalog_service_pb2.CreateBillableMetricRequest(billable_metric=metric(""))
    with pytest.raises(grpc.RpcError):
        tenant.call(tenant.rating.catalog.CreateBillableMetric, faulty)
    assert len(entries(tenant)) == 1
    assert entries(tenant.rating.tenant()) == []


def test_entries_are_found_by_what_they_say(tenant: Tenant) -> None:
    customer(tenant, "Acme")
    tenant.metric("api_call")
    assert [entry.subject_id for entry in entries(tenant, action="CreateBillableMetric")] == ["api_call"]
    assert [entry.action for entry in entries(tenant, actor="key-1")] == ["UpsertCustomer"]
    assert [entry.action for entry in entries(tenant, subject="customer", subject_id="acme")] == ["UpsertCustomer"]
    newest, oldest = entries(tenant)
    assert entries(tenant, noted_from=newest.noted_at) == [newest]
    assert entries(tenant, noted_until=newest.noted_at) == [oldest]


def test_a_key_is_in_no_entry(rating: Rating, tenant: Tenant) -> None:
    """Neither when it is made nor when it is replaced."""
    wanted = organization_service_pb2.CreateApiKeyRequest(kind=ApiKey.KIND_SECRET, name="CI")
    made = tenant.call(rating.organizations.CreateApiKey, wanted)
    replace = organization_service_pb2.RotateApiKeyRequest(api_key_id=made.api_key.id)
    replaced = tenant.call(rating.organizations.RotateApiKey, replace)
    found = entries(tenant)
    assert [entry.action for entry in found] == ["RotateApiKey", "CreateApiKey"]
    with rating.deps.db.worker_transaction() as tx:
        rows = str(tx.exec_driver_sql("SELECT * FROM audit_entries").all())
    assert made.api_key.hint in rows
    assert made.token not in rows
    assert replaced.token not in rows


def test_the_chain_is_closed_in_order_and_can_be_verified(rating: Rating, tenant: Tenant) -> None:
    """For each organization on its own; entries that are not chained yet change nothing."""
    other = rating.tenant()
    for name in ("A", "B", "C"):
        customer(tenant, name)
        customer(other, name)
    assert (verified(tenant).last_number, verified(tenant).whole) == (0, True)
    assert (chain(rating), chain(rating)) == (6, 0)
    assert [(entry.number, entry.request_id) for entry in entries(tenant)] == [(3, "r-C"), (2, "r-B"), (1, "r-A")]
    customer(tenant, "D")
    whole = verified(tenant)
    assert (whole.last_number, whole.broken_at, whole.whole) == (3, 0, True)
    assert whole.hash == entries(tenant)[1].hash != entries(other)[0].hash
    chain(rating)
    assert verified(tenant, after_number=3).last_number == 4
    with pytest.raises(grpc.RpcError) as refused:
        verified(tenant, after_number=9)
    assert [violation.field for violation in field_violations(refused.value)] == ["after_number"]


@pytest.mark.parametrize(
    "forgery",
    [
        "UPDATE audit_entries SET after = '{}' WHERE number = 2",
        "UPDATE audit_entries SET actor = 'somebody else' WHERE number = 2",
        "UPDATE audit_entries SET noted_at = noted_at - interval '1 microsecond' WHERE number = 2",
        "DELETE FROM audit_entries WHERE number = 2",
    ],
)
def test_a_forgery_is_found_at_its_place(
    rating: Rating, tenant: Tenant, forgery: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither role of the service can do it; whoever owns the database can, and is noticed, also in a later part."""
    for name in ("A", "B", "C"):
        customer(tenant, name)
    chain(rating)
    with pytest.raises(DBAPIError), rating.deps.db.worker_transaction() as tx:
        tx.exec_driver_sql(forgery)
    as_owner(rating, tenant, forgery)
    assert (verified(tenant).broken_at, verified(tenant).last_number, verified(tenant).whole) == (2, 1, False)
    monkeypatch.setattr(audit, "VERIFY_BATCH", 1)
    assert (verified(tenant).last_number, verified(tenant).broken_at, verified(tenant).whole) == (1, 0, False)
    assert verified(tenant, after_number=1).broken_at == 2


def as_owner(rating: Rating, tenant: Tenant, statement: str) -> None:
    """Run a statement as the role that owns the tables, in the name of the organization."""
    with rating.deps.db.worker_transaction() as tx:
        tx.exec_driver_sql("SET LOCAL ROLE NONE")
        tx.exec_driver_sql("SELECT set_config('farebox.organization_id', %s, true)", (tenant.organization_id,))
        assert tx.exec_driver_sql(statement).rowcount == 1


def test_a_large_thing_is_noted_by_its_digest(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_AFTER", 10)
    customer(tenant, "Acme")
    (entry,) = entries(tenant)
    assert set(json.loads(entry.after)) == {"omitted_bytes", "sha256"}


def test_commands_at_once_are_each_noted_and_chained_once(rating: Rating, tenant: Tenant) -> None:
    """While replicas chain them."""
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(tenant.metric, f"metric-{number}") for number in range(24)]
        chained = [pool.submit(chain, rating) for _ in range(8)]
        assert all(future.result().code for future in made)
        total = sum(future.result() for future in chained)
    assert total + chain(rating) == 24
    assert (verified(tenant).last_number, verified(tenant).broken_at) == (24, 0)
    assert sorted(entry.number for entry in entries(tenant, page={"page_size": 100})) == list(range(1, 25))
