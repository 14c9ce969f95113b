"""Metadata of plans and of credit notes: free text by key, for the caller's own use."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from farebox.rating.v1 import catalog_service_pb2, invoice_service_pb2
from farebox.rating.v1.metadata_pb2 import MetadataEdit
from gateway.call import Call
from gateway.operation import ByCode, ById, Nothing, Request, operation

Entries = Annotated[dict[str, str], Meta(max_length=1000, description="Texts by key; at most 50.")]


class MetadataChange(Struct, kw_only=True):
    """Texts by key; null is none."""

    metadata: Entries | None


class Metadata(Struct, kw_only=True):
    """All texts by key."""

    metadata: dict[str, str]


class ByPlanKey(ByCode):
    """A key of a plan's metadata."""

    key: str


class ByCreditNoteKey(ById):
    """A key of a credit note's metadata."""

    key: str


async def replace_of_plan(request: Request[ByCode, Nothing, MetadataChange]) -> Metadata:
    """Replace the metadata of a plan; that makes no version."""
    return await _of_plan(request.call, request.path, MetadataEdit(entries=request.body.metadata or {}, replace=True))


async def merge_of_plan(request: Request[ByCode, Nothing, MetadataChange]) -> Metadata:
    """Add or replace some of a plan's metadata."""
    return await _of_plan(request.call, request.path, MetadataEdit(entries=request.body.metadata or {}))


async def clear_of_plan(request: Request[ByCode, Nothing, Nothing]) -> Metadata:
    """Remove the metadata of a plan."""
    return await _of_plan(request.call, request.path, MetadataEdit(replace=True))


async def remove_of_plan(request: Request[ByPlanKey, Nothing, Nothing]) -> Metadata:
    """Remove a key of a plan's metadata."""
    return await _of_plan(request.call, request.path, MetadataEdit(remove=[request.path.key]))


async def replace_of_credit_note(request: Request[ById, Nothing, MetadataChange]) -> Metadata:
    """Replace the metadata of a credit note."""
    edit = MetadataEdit(entries=request.body.metadata or {}, replace=True)
    return await _of_credit_note(request.call, request.path, edit)


async def merge_of_credit_note(request: Request[ById, Nothing, MetadataChange]) -> Metadata:
    """Add or replace some of a credit note's metadata."""
    return await _of_credit_note(request.call, request.path, MetadataEdit(entries=request.body.metadata or {}))


async def clear_of_credit_note(request: Request[ById, Nothing, Nothing]) -> Metadata:
    """Remove the metadata of a credit note."""
    return await _of_credit_note(request.call, request.path, MetadataEdit(replace=True))


async def remove_of_credit_note(request: Request[ByCreditNoteKey, Nothing, Nothing]) -> Metadata:
    """Remove a key of a credit note's metadata."""
    return await _of_credit_note(request.call, request.path, MetadataEdit(remove=[request.path.key]))


async def _of_plan(call: Call, path: ByCode, edit: MetadataEdit) -> Metadata:
    asked = catalog_service_pb2.EditPlanRequest(request_id=call.mutation_id, code=path.code, edit_metadata=edit)
    return Metadata(metadata=dict((await call.ask(call.clients.catalog.EditPlan, asked)).plan.metadata))


async def _of_credit_note(call: Call, path: ById, edit: MetadataEdit) -> Metadata:
    asked = invoice_service_pb2.EditCreditNoteMetadataRequest(request_id=call.mutation_id, id=path.id, edit=edit)
    answer = await call.ask(call.clients.invoices.EditCreditNoteMetadata, asked)
    return Metadata(metadata=dict(answer.credit_note.metadata))


_NAMES = {"plan.metadata": "metadata"}
_PLAN, _NOTE = "/plans/{code}/metadata", "/credit_notes/{id}/metadata"
OPERATIONS = (
    operation("POST", _PLAN, replace_of_plan, names=_NAMES),
    operation("PATCH", _PLAN, merge_of_plan, names=_NAMES),
    operation("DELETE", _PLAN, clear_of_plan),
    operation("DELETE", f"{_PLAN}/{{key}}", remove_of_plan),
    operation("POST", _NOTE, replace_of_credit_note),
    operation("PATCH", _NOTE, merge_of_credit_note),
    operation("DELETE", _NOTE, clear_of_credit_note),
    operation("DELETE", f"{_NOTE}/{{key}}", remove_of_credit_note),
)
