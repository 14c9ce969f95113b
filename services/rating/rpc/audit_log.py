"""AuditLogService."""

from __future__ import annotations

from farebox.rating.v1 import audit_log_service_pb2 as pb
from farebox.rating.v1 import audit_log_service_pb2_grpc as grpc_pb
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.rating.calls import convert, queries
from services.rating.deps import Deps
from services.wire.values import page_from_pb, page_to_pb


class AuditLogServicer(grpc_pb.AuditLogServiceServicer):
    """Who changed what."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @answers
    def ListAuditEntries(self, request: pb.ListAuditEntriesRequest, context: Context) -> pb.ListAuditEntriesResponse:
        """List the organization's entries."""
        filters, page = convert.audit_filters_from_pb(request), page_from_pb(request.page)
        listed = queries.list_audit_entries(self.deps, organization_of(context), filters, page)
        entries = [convert.audit_entry_to_pb(entry) for entry in listed.items]
        return pb.ListAuditEntriesResponse(entries=entries, page=page_to_pb(listed))

    @answers
    def VerifyAuditLog(self, request: pb.VerifyAuditLogRequest, context: Context) -> pb.VerifyAuditLogResponse:
        """Look whether the next entries of the chain are in their places."""
        after_number = convert.after_number_from_pb(request)
        verified = queries.verify_audit_log(self.deps, organization_of(context), after_number)
        return convert.verified_to_pb(verified)
