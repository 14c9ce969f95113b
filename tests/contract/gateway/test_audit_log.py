"""The audit log over REST, and what commands are told of who calls."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1.page_pb2 import PageResponse
from farebox.rating.v1 import audit_log_service_pb2 as pb
from farebox.rating.v1 import customer_service_pb2
from services.chassis.audit import ACTOR_KEY, CALLERS_REQUEST_KEY
from tests.support.gateway import KEY_ID, new_gateway

ENTRY = pb.AuditEntry(
    id=7,
    noted_at=Timestamp(seconds=1_700_000_000),
    actor=KEY_ID,
    action="CreatePlan",
    subject="plan",
    subject_id="pro",
    after='{"code":"pro","amount":"1.10"}',
    number=3,
    hash=b"\x01\x02",
)


def test_entries_are_listed_with_what_was_changed() -> None:
    gateway = new_gateway()
    answer = pb.ListAuditEntriesResponse(entries=[ENTRY], page=PageResponse(total_size=1))
    gateway.services.on("ListAuditEntries", answer)
    response = gateway.get("/api/v1/audit_log?subject=plan&noted_from=2023-01-01T00:00:00Z&actor=a")
    (asked,) = gateway.services.requests("ListAuditEntries")
    assert (asked.subject, asked.actor, asked.noted_from.seconds) == ("plan", "a", 1_672_531_200)
    (entry,) = response.json()["audit_log"]
    assert (entry["id"], entry["actor"], entry["request_id"], entry["number"], entry["hash"]) == (
        "7",
        KEY_ID,
        None,
        3,
        "0102",
    )
    assert (entry["before"], entry["after"]) == (None, {"code": "pro", "amount": "1.10"})


def test_the_log_is_verified_part_by_part() -> None:
    gateway = new_gateway()
    gateway.services.on("VerifyAuditLog", pb.VerifyAuditLogResponse(last_number=9, hash=b"\xff", whole=True))
    verified = gateway.get("/api/v1/audit_log/verification?after_number=4").json()["verification"]
    assert gateway.services.requests("VerifyAuditLog")[0].after_number == 4
    assert verified == {"last_number": 9, "hash": "ff", "broken_at": None, "whole": True}


def test_a_command_is_told_who_calls_with_which_request() -> None:
    """The key's id, never the key; and no caller can say so itself."""
    gateway = new_gateway()
    gateway.services.on("UpsertCustomer", customer_service_pb2.UpsertCustomerResponse())
    headers = {"X-Request-Id": "r-1", ACTOR_KEY: "forged"}
    gateway.post("/api/v1/customers", json={"customer": {"external_id": "c"}}, headers=headers)
    (asked,) = [asked for asked in gateway.services.asked if asked.method == "UpsertCustomer"]
    assert (asked.metadata[ACTOR_KEY], asked.metadata[CALLERS_REQUEST_KEY]) == (KEY_ID, "r-1")
