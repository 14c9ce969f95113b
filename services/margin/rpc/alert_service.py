"""Watches on margins."""

from __future__ import annotations

from farebox.common.v1.page_pb2 import PageResponse
from farebox.margin.v1 import alert_service_pb2 as pb
from farebox.margin.v1 import alert_service_pb2_grpc as pb_grpc
from services.chassis.idempotency import answer_once
from services.chassis.page import write_token
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.margin.commands import alerts
from services.margin.convert.alerts import alert_from_pb, alert_to_pb
from services.margin.convert.common import page_from_pb
from services.margin.deps import Deps
from services.margin.queries import lists


class AlertService(pb_grpc.AlertServiceServicer):
    """Alerts, as they are defined."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    @answers
    def CreateAlert(self, request: pb.CreateAlertRequest, context: Context) -> pb.CreateAlertResponse:
        """Define an alert."""
        organization, alert = organization_of(context), alert_from_pb(request.alert)
        answer: pb.CreateAlertResponse = answer_once(
            self._deps.db,
            organization,
            request,
            pb.CreateAlertResponse,
            lambda tx: pb.CreateAlertResponse(
                alert=alert_to_pb(alerts.create_alert(self._deps, tx, organization, alert))
            ),
        )
        return answer

    @answers
    def GetAlert(self, request: pb.GetAlertRequest, context: Context) -> pb.GetAlertResponse:
        """One alert."""
        found = lists.get_alert(self._deps, organization_of(context), request.code)
        return pb.GetAlertResponse(alert=alert_to_pb(found))

    @answers
    def ListAlerts(self, request: pb.ListAlertsRequest, context: Context) -> pb.ListAlertsResponse:
        """The alerts by code."""
        found, more = lists.list_alerts(self._deps, organization_of(context), page_from_pb(request.page))
        page = PageResponse(next_page_token=write_token(found[-1].code) if more else "")
        return pb.ListAlertsResponse(alerts=map(alert_to_pb, found), page=page)

    @answers
    def DeleteAlert(self, request: pb.DeleteAlertRequest, context: Context) -> pb.DeleteAlertResponse:
        """Remove an alert."""
        organization = organization_of(context)
        answer: pb.DeleteAlertResponse = answer_once(
            self._deps.db,
            organization,
            request,
            pb.DeleteAlertResponse,
            lambda tx: pb.DeleteAlertResponse(alert=alert_to_pb(alerts.delete_alert(tx, organization, request.code))),
        )
        return answer
