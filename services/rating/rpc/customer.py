"""CustomerService."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from farebox.rating.v1 import customer_service_pb2 as pb
from farebox.rating.v1 import customer_service_pb2_grpc as grpc_pb
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.changes import says_change
from services.chassis.rpc.command import command
from services.kernel.checks import inside
from services.kernel.ids import OrganizationId
from services.rating.catalog.convert.coupons import applied_coupon_to_pb
from services.rating.customers import commands as customers
from services.rating.customers import coupons, queries
from services.rating.customers.convert import (
    agreed_from_pb,
    applied_coupons_wanted_from_pb,
    customer_to_pb,
    customers_wanted_from_pb,
    details_from_pb,
)
from services.rating.deps import Deps
from services.rating.subscriptions.commands import delete_customer
from services.wire.values import page_from_pb, page_to_pb


class CustomerServicer(grpc_pb.CustomerServiceServicer):
    """Who is billed."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @says_change
    @command(pb.UpsertCustomerRequest, pb.UpsertCustomerResponse)
    def UpsertCustomer(
        self, tx: Connection, organization: OrganizationId, request: pb.UpsertCustomerRequest
    ) -> pb.UpsertCustomerResponse:
        """Create a customer, or change the one with this external id."""
        external_id = request.customer.external_id
        with inside("customer"):
            upserted = customers.upsert_customer(
                self.deps, tx, organization, external_id, lambda current: details_from_pb(request, current)
            )
        return pb.UpsertCustomerResponse(customer=customer_to_pb(upserted.customer), created=upserted.created)

    @answers
    def GetCustomer(self, request: pb.GetCustomerRequest, context: Context) -> pb.GetCustomerResponse:
        """Find one customer by the organization's id."""
        found = queries.get_customer(self.deps, organization_of(context), request.external_id)
        return pb.GetCustomerResponse(customer=customer_to_pb(found))

    @says_change
    @command(pb.DeleteCustomerRequest, pb.DeleteCustomerResponse)
    def DeleteCustomer(
        self, tx: Connection, organization: OrganizationId, request: pb.DeleteCustomerRequest
    ) -> pb.DeleteCustomerResponse:
        """End a customer's subscriptions and delete it."""
        deleted = delete_customer(self.deps, tx, organization, request.external_id)
        return pb.DeleteCustomerResponse(customer=customer_to_pb(deleted))

    @answers
    def ListCustomers(self, request: pb.ListCustomersRequest, context: Context) -> pb.ListCustomersResponse:
        """List the organization's customers."""
        page, wanted = page_from_pb(request.page), customers_wanted_from_pb(request)
        listed = queries.list_customers(self.deps, organization_of(context), page, wanted)
        found = [customer_to_pb(customer) for customer in listed.items]
        return pb.ListCustomersResponse(customers=found, page=page_to_pb(listed))

    @command(pb.ApplyCouponRequest, pb.ApplyCouponResponse, reads=lambda request: (request, agreed_from_pb(request)))
    def ApplyCoupon(
        self, tx: Connection, organization: OrganizationId, wanted: tuple[pb.ApplyCouponRequest, coupons.Agreed]
    ) -> pb.ApplyCouponResponse:
        """Give a customer a coupon."""
        request, agreed = wanted
        whose, code = request.external_customer_id, request.coupon_code
        given = coupons.apply_coupon(self.deps, tx, organization, whose, code, agreed)
        return pb.ApplyCouponResponse(applied_coupon=applied_coupon_to_pb(given))

    @answers
    def ListAppliedCoupons(
        self, request: pb.ListAppliedCouponsRequest, context: Context
    ) -> pb.ListAppliedCouponsResponse:
        """List the coupons customers hold."""
        page, wanted = page_from_pb(request.page), applied_coupons_wanted_from_pb(request)
        listed = queries.list_applied_coupons(self.deps, organization_of(context), page, wanted)
        found = [applied_coupon_to_pb(applied) for applied in listed.items]
        return pb.ListAppliedCouponsResponse(applied_coupons=found, page=page_to_pb(listed))

    @command(pb.TerminateAppliedCouponRequest, pb.TerminateAppliedCouponResponse)
    def TerminateAppliedCoupon(
        self, tx: Connection, organization: OrganizationId, request: pb.TerminateAppliedCouponRequest
    ) -> pb.TerminateAppliedCouponResponse:
        """Take a coupon away."""
        which, whose = request.applied_coupon_id, request.external_customer_id
        ended = coupons.terminate_applied_coupon(self.deps, tx, organization, which, whose)
        return pb.TerminateAppliedCouponResponse(applied_coupon=applied_coupon_to_pb(ended))
