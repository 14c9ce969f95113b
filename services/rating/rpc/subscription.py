"""SubscriptionService. A preview runs the same command, then rolls back everything it did (chassis.idempotency)."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from farebox.rating.v1 import subscription_service_pb2 as pb
from farebox.rating.v1 import subscription_service_pb2_grpc as grpc_pb
from services.chassis.idempotency import answer_once, undone
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.changes import says_change
from services.chassis.rpc.command import command, note
from services.kernel.ids import OrganizationId
from services.rating.agreements import convert, queries
from services.rating.agreements.agreement import EndTerms
from services.rating.clock.commands import catch_up
from services.rating.deps import Deps
from services.rating.invoicing.convert.invoices import invoice_to_pb
from services.rating.subscriptions import commands
from services.rating.subscriptions.convert import preview_from_pb
from services.wire.values import page_from_pb, page_to_pb


class SubscriptionServicer(grpc_pb.SubscriptionServiceServicer):
    """Customers on plans."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @says_change
    @answers
    def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, context: Context
    ) -> pb.CreateSubscriptionResponse:
        """Put a customer on a plan."""
        organization, wanted = organization_of(context), convert.new_subscription_from_pb(request)

        def work(tx: Connection) -> pb.CreateSubscriptionResponse:
            change = commands.create_subscription(self.deps, tx, organization, wanted)
            told = convert.change_to_pb(change, is_preview=request.validate_only)
            answer = pb.CreateSubscriptionResponse(change=told)
            note(self, tx, context, "CreateSubscription", answer)
            return answer

        answer = answer_once(self.deps.db, organization, request, pb.CreateSubscriptionResponse, work)
        catch_up(self.deps, organization)
        return answer

    @answers
    def GetSubscription(self, request: pb.GetSubscriptionRequest, context: Context) -> pb.GetSubscriptionResponse:
        """Find one subscription."""
        which = request.external_id, request.id, request.external_customer_id
        found = queries.get_subscription(self.deps, organization_of(context), *which)
        return pb.GetSubscriptionResponse(
            subscription=convert.subscription_to_pb(found.agreement, found.current_period)
        )

    @says_change
    @command(pb.UpdateSubscriptionRequest, pb.UpdateSubscriptionResponse)
    def UpdateSubscription(
        self, tx: Connection, organization: OrganizationId, request: pb.UpdateSubscriptionRequest
    ) -> pb.UpdateSubscriptionResponse:
        """Change the name of a subscription, or when it ends by itself."""
        changed = commands.update_subscription(
            self.deps,
            tx,
            organization,
            request.external_id,
            lambda current, now: convert.revised_from_pb(request, current, now),
        )
        told = convert.subscription_to_pb(changed.agreement, changed.current_period)
        return pb.UpdateSubscriptionResponse(subscription=told)

    @answers
    def ListSubscriptions(self, request: pb.ListSubscriptionsRequest, context: Context) -> pb.ListSubscriptionsResponse:
        """List subscriptions."""
        page, wanted = page_from_pb(request.page), convert.wanted_from_pb(request)
        listed = queries.list_subscriptions(self.deps, organization_of(context), page, wanted)
        found = [convert.subscription_to_pb(held.agreement, held.current_period) for held in listed.items]
        return pb.ListSubscriptionsResponse(subscriptions=found, page=page_to_pb(listed))

    @answers
    def ListPlanChanges(self, request: pb.ListPlanChangesRequest, context: Context) -> pb.ListPlanChangesResponse:
        """List the plans on sale, with the effect of moving to each."""
        page, which = page_from_pb(request.page), (request.external_id, request.external_customer_id)
        return convert.plan_changes_to_pb(queries.list_plan_changes(self.deps, organization_of(context), page, *which))

    @says_change
    @command(pb.ChangeSubscriptionPlanRequest, pb.ChangeSubscriptionPlanResponse, reads=convert.checked)
    def ChangeSubscriptionPlan(
        self, tx: Connection, organization: OrganizationId, request: pb.ChangeSubscriptionPlanRequest
    ) -> pb.ChangeSubscriptionPlanResponse:
        """Move to another plan."""
        change = commands.change_plan(
            self.deps,
            tx,
            organization,
            request.external_id,
            (request.plan_code, request.plan_version),
            external_customer_id=request.external_customer_id,
            timing=convert.timing_from_pb(request.timing),
            resolution=convert.resolution_from_pb(request.credit_action),
        )
        return pb.ChangeSubscriptionPlanResponse(change=convert.change_to_pb(change, is_preview=request.validate_only))

    @says_change
    @command(pb.CancelSubscriptionRequest, pb.CancelSubscriptionResponse, reads=convert.checked)
    def CancelSubscription(
        self, tx: Connection, organization: OrganizationId, request: pb.CancelSubscriptionRequest
    ) -> pb.CancelSubscriptionResponse:
        """End a subscription now or at the period's end."""
        change = commands.cancel_subscription(
            self.deps,
            tx,
            organization,
            request.external_id,
            external_customer_id=request.external_customer_id,
            timing=convert.timing_from_pb(request.timing),
            terms=EndTerms(convert.resolution_from_pb(request.credit_action), request.skip_final_invoice),
        )
        return pb.CancelSubscriptionResponse(change=convert.change_to_pb(change, is_preview=request.validate_only))

    @answers
    def PreviewInvoice(self, request: pb.PreviewInvoiceRequest, context: Context) -> pb.PreviewInvoiceResponse:
        """Preview an invoice: it is made, and then everything is undone."""
        organization, wanted = organization_of(context), preview_from_pb(request)

        def work(tx: Connection) -> pb.PreviewInvoiceResponse:
            invoice = commands.preview_invoice(self.deps, tx, organization, wanted)
            return pb.PreviewInvoiceResponse(invoice=invoice_to_pb(invoice, invoice.created_at))

        with self.deps.db.transaction(organization) as tx:
            return undone(tx, work)

    @says_change
    @command(pb.WithdrawSubscriptionChangeRequest, pb.WithdrawSubscriptionChangeResponse)
    def WithdrawSubscriptionChange(
        self, tx: Connection, organization: OrganizationId, request: pb.WithdrawSubscriptionChangeRequest
    ) -> pb.WithdrawSubscriptionChangeResponse:
        """Take back a change or a cancellation that is not in effect yet."""
        whose = request.external_customer_id
        change = commands.withdraw_change(self.deps, tx, organization, request.external_id, external_customer_id=whose)
        return pb.WithdrawSubscriptionChangeResponse(
            change=convert.change_to_pb(change, is_preview=request.validate_only)
        )
