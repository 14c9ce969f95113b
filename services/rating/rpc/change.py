"""ChangeService: how far rating's log has come, for those who follow it."""

from __future__ import annotations

from farebox.rating.v1 import change_service_pb2 as pb
from farebox.rating.v1 import change_service_pb2_grpc as grpc_pb
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context
from services.rating.organizations import convert
from services.rating.shared.newest_changes import NewestChanges


class ChangeServicer(grpc_pb.ChangeServiceServicer):
    """The newest changes of organizations."""

    def __init__(self, newest: NewestChanges) -> None:
        self._newest = newest

    @answers
    def ListNewestChanges(
        self,
        request: pb.ListNewestChangesRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.ListNewestChangesResponse:
        """Say the number of the newest change of each organization."""
        return convert.newest_changes_to_pb(self._newest.of(convert.organizations_from_pb(request)))
