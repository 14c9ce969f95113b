"""SubscriptionService. A preview runs the same command, and everything it did is rolled back (chassis.idempotency)."""

from __future__ import annotations

from farebox.rating.v1 import subscription_service_pb2 as pb
from farebox.rating.v1 import subscription_service_pb2_grpc as grpc_pb
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.rating.agreements import convert, queries
from services.rating.agreements.agreement import EndTerms
from services.rating.clock.commands import catch_up
from services.rating.rpc.base import RatingServicer
from services.rating.subscriptions import commands
from services.wire.values import page_from_pb, page_to_pb


class SubscriptionServicer(RatingServicer, grpc_pb.SubscriptionServiceServicer):
    """Customers on plans."""

    @answers
    def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, context: Context
    ) -> pb.CreateSubscriptionResponse:
        """Put a customer on a plan."""
        wanted = convert.new_subscription_from_pb(request)
        answer = self.answer(
            request,
            context,
            pb.CreateSubscriptionResponse,
            lambda tx, organization: pb.CreateSubscriptionResponse(
                change=convert.change_to_pb(
                    commands.create_subscription(self.deps, tx, organization, wanted),
                    is_preview=request.validate_only,
                )
            ),
        )
        catch_up(self.deps, organization_of(context))
        return answer

    @answers
    def GetSubscription(self, request: pb.GetSubscriptionRequest, context: Context) -> pb.GetSubscriptionResponse:
        """Find one subscription."""
        found = queries.get_subscription(self.deps, organization_of(context), request.external_id, request.id)
        return pb.GetSubscriptionResponse(
            subscription=convert.subscription_to_pb(found.agreement, found.current_period)
        )

    @answers
    def ListSubscriptions(self, request: pb.ListSubscriptionsRequest, context: Context) -> pb.ListSubscriptionsResponse:
        """List subscriptions."""
        states = convert.states_from_pb(request.states)
        wanted = queries.Wanted(states, request.external_customer_id, request.plan_code)
        page = page_from_pb(request.page)
        listed = queries.list_subscriptions(self.deps, organization_of(context), page, wanted)
        found = [convert.subscription_to_pb(each.agreement, each.current_period) for each in listed.items]
        return pb.ListSubscriptionsResponse(subscriptions=found, page=page_to_pb(listed))

    @answers
    def ChangeSubscriptionPlan(
        self, request: pb.ChangeSubscriptionPlanRequest, context: Context
    ) -> pb.ChangeSubscriptionPlanResponse:
        """Move to another plan."""
        plan = request.plan_code, request.plan_version
        timing = convert.timing_from_pb(request.timing)
        resolution = convert.resolution_from_pb(request.credit_action)
        return self.answer(
            request,
            context,
            pb.ChangeSubscriptionPlanResponse,
            lambda tx, organization: pb.ChangeSubscriptionPlanResponse(
                change=convert.change_to_pb(
                    commands.change_plan(
                        self.deps,
                        tx,
                        organization,
                        request.external_id,
                        plan,
                        timing=timing,
                        resolution=resolution,
                    ),
                    is_preview=request.validate_only,
                )
            ),
        )

    @answers
    def CancelSubscription(
        self, request: pb.CancelSubscriptionRequest, context: Context
    ) -> pb.CancelSubscriptionResponse:
        """End a subscription now or at the period's end."""
        timing = convert.timing_from_pb(request.timing)
        terms = EndTerms(convert.resolution_from_pb(request.credit_action), request.skip_final_invoice)
        return self.answer(
            request,
            context,
            pb.CancelSubscriptionResponse,
            lambda tx, organization: pb.CancelSubscriptionResponse(
                change=convert.change_to_pb(
                    commands.cancel_subscription(
                        self.deps, tx, organization, request.external_id, timing=timing, terms=terms
                    ),
                    is_preview=request.validate_only,
                )
            ),
        )

    @answers
    def WithdrawSubscriptionChange(
        self, request: pb.WithdrawSubscriptionChangeRequest, context: Context
    ) -> pb.WithdrawSubscriptionChangeResponse:
        """Take back a change or a cancellation that is not yet in effect."""
        return self.answer(
            request,
            context,
            pb.WithdrawSubscriptionChangeResponse,
            lambda tx, organization: pb.WithdrawSubscriptionChangeResponse(
                change=convert.change_to_pb(
                    commands.withdraw_change(self.deps, tx, organization, request.external_id),
                    is_preview=request.validate_only,
                )
            ),
        )
