"""FeatureService: features, entitlements, overrides."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from farebox.common.v1 import page_pb2
from farebox.entitlements.v1 import feature_service_pb2 as pb
from farebox.entitlements.v1 import feature_service_pb2_grpc
from services.chassis.page import read_page, write_token
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.entitlements import queries
from services.entitlements.commands import feature, override
from services.entitlements.convert import feature as convert
from services.entitlements.deps import Deps
from services.entitlements.rpc.once import once
from services.kernel.ids import OrganizationId


class FeatureServicer(feature_service_pb2_grpc.FeatureServiceServicer):
    """Features, and what a customer's plan or an override grants of them."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    @answers
    def UpsertFeature(self, request: pb.UpsertFeatureRequest, context: Context) -> pb.UpsertFeatureResponse:
        """Create a feature, or change the one with this code."""
        wanted = convert.feature_from_pb(request.feature)

        def work(tx: Connection, owner: OrganizationId) -> pb.UpsertFeatureResponse:
            result = feature.upsert_feature(self._deps, tx, owner, wanted)
            return pb.UpsertFeatureResponse(feature=convert.feature_to_pb(result))

        return once(self._deps, request, context, pb.UpsertFeatureResponse, work)

    @answers
    def GetFeature(self, request: pb.GetFeatureRequest, context: Context) -> pb.GetFeatureResponse:
        """Find one feature by its code."""
        found = queries.get_feature(self._deps, organization_of(context), request.code)
        return pb.GetFeatureResponse(feature=convert.feature_to_pb(found))

    @answers
    def ListFeatures(self, request: pb.ListFeaturesRequest, context: Context) -> pb.ListFeaturesResponse:
        """List the organization's features."""
        page = read_page(request.page.page_size, request.page.page_token, request.page.skip)
        found, following, total = queries.list_features(self._deps, organization_of(context), page)
        token = write_token(following) if following else ""
        return pb.ListFeaturesResponse(
            features=[convert.feature_to_pb(one) for one in found],
            page=page_pb2.PageResponse(next_page_token=token, total_size=total),
        )

    @answers
    def DeleteFeature(self, request: pb.DeleteFeatureRequest, context: Context) -> pb.DeleteFeatureResponse:
        """Remove a feature."""

        def work(tx: Connection, owner: OrganizationId) -> pb.DeleteFeatureResponse:
            known = feature.delete_feature(self._deps, tx, owner, request.code)
            return pb.DeleteFeatureResponse(feature=convert.feature_to_pb(known))

        return once(self._deps, request, context, pb.DeleteFeatureResponse, work)

    @answers
    def ListEntitlements(self, request: pb.ListEntitlementsRequest, context: Context) -> pb.ListEntitlementsResponse:
        """List what a customer is entitled to now."""
        found, at = queries.list_entitlements(
            self._deps, organization_of(context), request.external_customer_id, request.external_subscription_id
        )
        return pb.ListEntitlementsResponse(entitlements=[convert.entitlement_to_pb(one, at) for one in found])

    @answers
    def SetOverride(self, request: pb.SetOverrideRequest, context: Context) -> pb.SetOverrideResponse:
        """Grant a customer or a subscription something else than its plan does."""
        wanted = convert.override_from_pb(request)

        def work(tx: Connection, owner: OrganizationId) -> pb.SetOverrideResponse:
            result = override.set_override(self._deps, tx, owner, wanted)
            return pb.SetOverrideResponse(
                entitlement=convert.entitlement_to_pb(*result) if result else convert.override_to_pb(wanted)
            )

        return once(self._deps, request, context, pb.SetOverrideResponse, work)

    @answers
    def RemoveOverride(self, request: pb.RemoveOverrideRequest, context: Context) -> pb.RemoveOverrideResponse:
        """Return to what the plan grants."""

        def work(tx: Connection, owner: OrganizationId) -> pb.RemoveOverrideResponse:
            result = override.remove_override(
                self._deps,
                tx,
                owner,
                request.external_customer_id,
                request.external_subscription_id,
                request.feature_code,
            )
            return pb.RemoveOverrideResponse(entitlement=convert.entitlement_to_pb(*result) if result else None)

        return once(self._deps, request, context, pb.RemoveOverrideResponse, work)
