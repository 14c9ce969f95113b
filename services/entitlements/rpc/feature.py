"""FeatureService: features, entitlements, overrides."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import Connection

from farebox.entitlements.v1 import feature_service_pb2 as pb
from farebox.entitlements.v1 import feature_service_pb2_grpc
from services.chassis.freshness import Freshness
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.changes import REVISION_KEY, current, says
from services.chassis.rpc.command import command
from services.entitlements.commands import feature as feature_commands
from services.entitlements.commands import override as override_commands
from services.entitlements.convert import feature as convert
from services.entitlements.deps import Deps
from services.entitlements.domain.feature import Feature
from services.entitlements.domain.feature_terms import Override
from services.entitlements.queries import feature as queries
from services.entitlements.queries.watch import newest_revision
from services.kernel.ids import OrganizationId
from services.wire.values import page_from_pb, page_to_pb

# For a method that alters answers: checks find the alteration at this revision.
says_revision = says(REVISION_KEY, newest_revision)


class FeatureServicer(feature_service_pb2_grpc.FeatureServiceServicer):
    """Features, and what a customer's plan or an override gives of them."""

    def __init__(self, deps: Deps, freshness: Freshness) -> None:
        self.deps = deps
        self.freshness = freshness

    @command(
        pb.CreateFeatureRequest,
        pb.CreateFeatureResponse,
        reads=lambda request: convert.feature_from_pb(request.feature),
    )
    def CreateFeature(self, tx: Connection, organization: OrganizationId, draft: Feature) -> pb.CreateFeatureResponse:
        """Create a feature."""
        feature = feature_commands.create_feature(self.deps, tx, organization, draft)
        return pb.CreateFeatureResponse(feature=convert.feature_to_pb(feature))

    @says_revision
    @command(pb.UpdateFeatureRequest, pb.UpdateFeatureResponse, reads=convert.feature_change_from_pb)
    def UpdateFeature(
        self, tx: Connection, organization: OrganizationId, change: tuple[str, Callable[[Feature], Feature]]
    ) -> pb.UpdateFeatureResponse:
        """Change a feature: all of it, or the fields that the mask names."""
        feature = feature_commands.update_feature(self.deps, tx, organization, *change)
        return pb.UpdateFeatureResponse(feature=convert.feature_to_pb(feature))

    @answers
    def GetFeature(self, request: pb.GetFeatureRequest, context: Context) -> pb.GetFeatureResponse:
        """Find one feature by its code."""
        feature = queries.get_feature(self.deps, organization_of(context), request.code)
        return pb.GetFeatureResponse(feature=convert.feature_to_pb(feature))

    @answers
    def ListFeatures(self, request: pb.ListFeaturesRequest, context: Context) -> pb.ListFeaturesResponse:
        """List the organization's features."""
        organization, page = organization_of(context), page_from_pb(request.page)
        listed = (
            queries.find_features(self.deps, organization, request.codes)
            if request.codes
            else queries.list_features(self.deps, organization, page)
        )
        return pb.ListFeaturesResponse(
            features=[convert.feature_to_pb(feature) for feature in listed.items], page=page_to_pb(listed)
        )

    @says_revision
    @command(pb.DeleteFeatureRequest, pb.DeleteFeatureResponse)
    def DeleteFeature(
        self, tx: Connection, organization: OrganizationId, request: pb.DeleteFeatureRequest
    ) -> pb.DeleteFeatureResponse:
        """Remove a feature."""
        removed = feature_commands.delete_feature(self.deps, tx, organization, request.code)
        return pb.DeleteFeatureResponse(feature=convert.feature_to_pb(removed))

    @answers
    @current(lacks=convert.is_without_entitlements)
    def ListEntitlements(self, request: pb.ListEntitlementsRequest, context: Context) -> pb.ListEntitlementsResponse:
        """List the present entitlements of a customer."""
        standings, at = queries.list_entitlements(
            self.deps, organization_of(context), request.external_customer_id, request.external_subscription_id
        )
        return pb.ListEntitlementsResponse(
            entitlements=[convert.entitlement_to_pb(standing, at) for standing in standings]
        )

    @says_revision
    @command(pb.SetOverrideRequest, pb.SetOverrideResponse, reads=convert.override_from_pb)
    def SetOverride(self, tx: Connection, organization: OrganizationId, override: Override) -> pb.SetOverrideResponse:
        """Give a customer or a subscription terms that replace its plan's."""
        in_force = override_commands.set_override(self.deps, tx, organization, override)
        return pb.SetOverrideResponse(entitlement=convert.override_result_to_pb(override, in_force))

    @says_revision
    @command(pb.RemoveOverrideRequest, pb.RemoveOverrideResponse)
    def RemoveOverride(
        self, tx: Connection, organization: OrganizationId, request: pb.RemoveOverrideRequest
    ) -> pb.RemoveOverrideResponse:
        """Return to the plan's terms."""
        in_force = override_commands.remove_override(
            self.deps,
            tx,
            organization,
            request.external_customer_id,
            request.external_subscription_id,
            request.feature_code,
        )
        return pb.RemoveOverrideResponse(entitlement=convert.in_force_to_pb(in_force))
