"""What the services that follow rating's log ask and tell of changes."""

from __future__ import annotations

from collections.abc import Collection

import grpc

from farebox.rating.v1 import change_service_pb2 as pb
from farebox.rating.v1 import change_service_pb2_grpc as pb_grpc
from services.kernel.errors import UnavailableError
from services.kernel.ids import OrganizationId

# Rating answers within some milliseconds. A caller waits for this before it is told that something is missing.
ASK_SECONDS = 1.0


class NewestChangesClient:
    """Asks rating for the numbers of organizations' newest changes (chassis.freshness)."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = pb_grpc.ChangeServiceStub(channel)

    def newest(self, organizations: Collection[OrganizationId]) -> dict[OrganizationId, int]:
        """The newest change of each organization that has made any.

        Raises:
            UnavailableError: `RATING_UNAVAILABLE`.
        """
        request = pb.ListNewestChangesRequest(organization_ids=organizations)
        try:
            response = self._stub.ListNewestChanges(request, timeout=ASK_SECONDS)
        except grpc.RpcError as error:
            raise UnavailableError("RATING_UNAVAILABLE", f"rating cannot be asked: {error.code().name}") from error
        return {OrganizationId(change.organization_id): change.number for change in response.changes}
