"""Metadata of plans and credit notes over REST: replaced, merged, cleared, and removed by key."""

from __future__ import annotations

from typing import Any

import pytest

from farebox.rating.v1 import catalog_service_pb2, invoice_service_pb2
from farebox.rating.v1.credit_note_pb2 import CreditNote
from farebox.rating.v1.metadata_pb2 import MetadataEdit
from farebox.rating.v1.plan_pb2 import Plan
from tests.support.gateway import Gateway, new_gateway

LEFT = {"team": "red"}


@pytest.fixture
def gateway() -> Gateway:
    gateway = new_gateway()
    gateway.services.on("EditPlan", catalog_service_pb2.EditPlanResponse(plan=Plan(metadata=LEFT)))
    note = invoice_service_pb2.EditCreditNoteMetadataResponse(credit_note=CreditNote(metadata=LEFT))
    gateway.services.on("EditCreditNoteMetadata", note)
    return gateway


@pytest.mark.parametrize("path", ["plans/pro", "credit_notes/n1"])
@pytest.mark.parametrize(
    ("method", "key", "body", "edit"),
    [
        ("POST", "", {"metadata": {"a": "1"}}, MetadataEdit(entries={"a": "1"}, replace=True)),
        ("POST", "", {"metadata": None}, MetadataEdit(replace=True)),
        ("PATCH", "", {"metadata": {"a": "1"}}, MetadataEdit(entries={"a": "1"})),
        ("DELETE", "", None, MetadataEdit(replace=True)),
        ("DELETE", "/a b", None, MetadataEdit(remove=["a b"])),
    ],
)
def test_what_is_left_is_the_answer(
    gateway: Gateway, path: str, method: str, key: str, body: Any, edit: MetadataEdit
) -> None:
    answer = gateway.send(method, f"/api/v1/{path}/metadata{key}", **({"json": body} if body else {}))
    assert answer.json() == {"metadata": LEFT}
    edits = [request.edit_metadata for request in gateway.services.requests("EditPlan")]
    edits += [request.edit for request in gateway.services.requests("EditCreditNoteMetadata")]
    assert edits == [edit]


def test_metadata_is_text(gateway: Gateway) -> None:
    answer = gateway.send("PATCH", "/api/v1/plans/pro/metadata", json={"metadata": {"a": 1, "b": None}})
    assert answer.json()["error_details"] == {"metadata.a": ["invalid_format"], "metadata.b": ["value_is_mandatory"]}
