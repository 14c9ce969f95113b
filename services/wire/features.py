"""What rating asks entitlements of features: a plan may name only those that exist."""

from __future__ import annotations

from collections.abc import Collection

import grpc

from farebox.entitlements.v1 import feature_service_pb2 as pb
from farebox.entitlements.v1 import feature_service_pb2_grpc as pb_grpc
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.kernel.errors import UnavailableError
from services.kernel.ids import OrganizationId

# Entitlements answers within some milliseconds; a plan that waits longer than this had better be sent again.
FIND_SECONDS = 5.0


class FeaturesClient:
    """Asks entitlements; safe to use from many threads."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = pb_grpc.FeatureServiceStub(channel)

    def known(self, organization: OrganizationId, codes: Collection[str]) -> set[str]:
        """Those of the codes that are a feature's.

        Raises:
            UnavailableError: `ENTITLEMENTS_UNAVAILABLE`.
        """
        request = pb.ListFeaturesRequest(codes=sorted(codes))
        metadata = ((ORGANIZATION_KEY, organization),)
        try:
            response = self._stub.ListFeatures(request, metadata=metadata, timeout=FIND_SECONDS)
        except grpc.RpcError as error:
            raise UnavailableError(
                "ENTITLEMENTS_UNAVAILABLE", f"entitlements cannot be asked: {error.code().name}"
            ) from error
        return {feature.code for feature in response.features}
