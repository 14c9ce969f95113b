"""AlertService: watches on figures."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from farebox.margin.v1 import alert_service_pb2 as pb
from farebox.margin.v1 import alert_service_pb2_grpc as pb_grpc
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.command import command
from services.kernel.ids import OrganizationId
from services.margin.commands import alert as commands
from services.margin.convert.alert import alert_from_pb, alert_to_pb
from services.margin.deps import Deps
from services.margin.domain.alert import Alert
from services.margin.queries import alert as queries
from services.wire.values import page_from_pb, page_to_pb


class AlertServicer(pb_grpc.AlertServiceServicer):
    """Alerts, as they are defined."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @command(pb.CreateAlertRequest, pb.CreateAlertResponse, reads=lambda request: alert_from_pb(request.alert))
    def CreateAlert(self, tx: Connection, organization: OrganizationId, draft: Alert) -> pb.CreateAlertResponse:
        """Define an alert."""
        alert = commands.create_alert(self.deps, tx, organization, draft)
        return pb.CreateAlertResponse(alert=alert_to_pb(alert))

    @answers
    def GetAlert(self, request: pb.GetAlertRequest, context: Context) -> pb.GetAlertResponse:
        """One alert."""
        alert = queries.get_alert(self.deps, organization_of(context), request.code)
        return pb.GetAlertResponse(alert=alert_to_pb(alert))

    @answers
    def ListAlerts(self, request: pb.ListAlertsRequest, context: Context) -> pb.ListAlertsResponse:
        """The alerts by code."""
        listed = queries.list_alerts(self.deps, organization_of(context), page_from_pb(request.page))
        return pb.ListAlertsResponse(alerts=map(alert_to_pb, listed.items), page=page_to_pb(listed))

    @command(pb.DeleteAlertRequest, pb.DeleteAlertResponse)
    def DeleteAlert(
        self, tx: Connection, organization: OrganizationId, request: pb.DeleteAlertRequest
    ) -> pb.DeleteAlertResponse:
        """Remove an alert."""
        removed = commands.delete_alert(tx, organization, request.code)
        return pb.DeleteAlertResponse(alert=alert_to_pb(removed))
