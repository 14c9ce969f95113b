"""CustomerService."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from farebox.rating.v1 import customer_service_pb2 as pb
from farebox.rating.v1 import customer_service_pb2_grpc as grpc_pb
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.kernel.checks import inside
from services.kernel.ids import OrganizationId
from services.rating.catalog.convert.coupons import applied_coupon_to_pb, money_from_pb
from services.rating.customers import commands as customers
from services.rating.customers import coupons, queries
from services.rating.customers.convert import customer_to_pb, details_from_pb
from services.rating.rpc.base import RatingServicer
from services.wire.values import page_from_pb, page_to_pb


class CustomerServicer(RatingServicer, grpc_pb.CustomerServiceServicer):
    """Who is billed."""

    @answers
    def UpsertCustomer(self, request: pb.UpsertCustomerRequest, context: Context) -> pb.UpsertCustomerResponse:
        """Create a customer, or change the one with this external id."""
        details = details_from_pb(request.customer)

        def work(tx: Connection, organization: OrganizationId) -> pb.UpsertCustomerResponse:
            external_id = request.customer.external_id
            with inside("customer"):
                upserted = customers.upsert_customer(self.deps, tx, organization, external_id, details)
            return pb.UpsertCustomerResponse(customer=customer_to_pb(upserted.customer), created=upserted.created)

        return self.answer(request, context, pb.UpsertCustomerResponse, work)

    @answers
    def GetCustomer(self, request: pb.GetCustomerRequest, context: Context) -> pb.GetCustomerResponse:
        """Find one customer by the organization's id."""
        found = queries.get_customer(self.deps, organization_of(context), request.external_id)
        return pb.GetCustomerResponse(customer=customer_to_pb(found))

    @answers
    def ListCustomers(self, request: pb.ListCustomersRequest, context: Context) -> pb.ListCustomersResponse:
        """List the organization's customers."""
        listed = queries.list_customers(self.deps, organization_of(context), page_from_pb(request.page))
        found = [customer_to_pb(each) for each in listed.items]
        return pb.ListCustomersResponse(customers=found, page=page_to_pb(listed))

    @answers
    def ApplyCoupon(self, request: pb.ApplyCouponRequest, context: Context) -> pb.ApplyCouponResponse:
        """Give a customer a coupon."""
        amount = money_from_pb(request.amount, "amount") if request.HasField("amount") else None
        wanted = request.external_customer_id, request.coupon_code, amount
        return self.answer(
            request,
            context,
            pb.ApplyCouponResponse,
            lambda tx, organization: pb.ApplyCouponResponse(
                applied_coupon=applied_coupon_to_pb(coupons.apply_coupon(self.deps, tx, organization, *wanted))
            ),
        )

    @answers
    def ListAppliedCoupons(
        self, request: pb.ListAppliedCouponsRequest, context: Context
    ) -> pb.ListAppliedCouponsResponse:
        """List the coupons customers hold."""
        page, whose = page_from_pb(request.page), request.external_customer_id
        listed = queries.list_applied_coupons(self.deps, organization_of(context), page, whose)
        found = [applied_coupon_to_pb(each) for each in listed.items]
        return pb.ListAppliedCouponsResponse(applied_coupons=found, page=page_to_pb(listed))

    @answers
    def TerminateAppliedCoupon(
        self, request: pb.TerminateAppliedCouponRequest, context: Context
    ) -> pb.TerminateAppliedCouponResponse:
        """Take a coupon away."""
        which = request.applied_coupon_id
        return self.answer(
            request,
            context,
            pb.TerminateAppliedCouponResponse,
            lambda tx, organization: pb.TerminateAppliedCouponResponse(
                applied_coupon=applied_coupon_to_pb(
                    coupons.terminate_applied_coupon(self.deps, tx, organization, which)
                )
            ),
        )
