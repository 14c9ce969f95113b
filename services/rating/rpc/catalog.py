"""CatalogService."""

from __future__ import annotations

from farebox.rating.v1 import catalog_service_pb2 as pb
from farebox.rating.v1 import catalog_service_pb2_grpc as grpc_pb
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.rating.agreements.convert import move_to_pb
from services.rating.catalog import queries
from services.rating.catalog.commands import coupons, metrics, plans
from services.rating.catalog.convert.coupons import coupon_from_pb, coupon_to_pb, tax_from_pb, tax_to_pb
from services.rating.catalog.convert.metrics import metric_from_pb, metric_to_pb
from services.rating.catalog.convert.plans import plan_from_pb, plan_to_pb
from services.rating.rpc.base import RatingServicer
from services.rating.subscriptions.commands import migrate_plan_version
from services.wire.values import page_from_pb, page_to_pb


class CatalogServicer(RatingServicer, grpc_pb.CatalogServiceServicer):
    """What is counted and what is sold."""

    @answers
    def CreateBillableMetric(
        self, request: pb.CreateBillableMetricRequest, context: Context
    ) -> pb.CreateBillableMetricResponse:
        """Create a metric."""
        draft = metric_from_pb(request.billable_metric)
        return self.answer(
            request,
            context,
            pb.CreateBillableMetricResponse,
            lambda tx, organization: pb.CreateBillableMetricResponse(
                billable_metric=metric_to_pb(metrics.create_metric(self.deps, tx, organization, draft))
            ),
        )

    @answers
    def UpdateBillableMetric(
        self, request: pb.UpdateBillableMetricRequest, context: Context
    ) -> pb.UpdateBillableMetricResponse:
        """Change a metric."""
        draft = metric_from_pb(request.billable_metric)
        return self.answer(
            request,
            context,
            pb.UpdateBillableMetricResponse,
            lambda tx, organization: pb.UpdateBillableMetricResponse(
                billable_metric=metric_to_pb(metrics.update_metric(self.deps, tx, organization, draft))
            ),
        )

    @answers
    def GetBillableMetric(self, request: pb.GetBillableMetricRequest, context: Context) -> pb.GetBillableMetricResponse:
        """Find one metric by its code."""
        found = queries.get_metric(self.deps, organization_of(context), request.code)
        return pb.GetBillableMetricResponse(billable_metric=metric_to_pb(found))

    @answers
    def ListBillableMetrics(
        self, request: pb.ListBillableMetricsRequest, context: Context
    ) -> pb.ListBillableMetricsResponse:
        """List the organization's metrics."""
        listed = queries.list_metrics(self.deps, organization_of(context), page_from_pb(request.page))
        found = [metric_to_pb(each) for each in listed.items]
        return pb.ListBillableMetricsResponse(billable_metrics=found, page=page_to_pb(listed))

    @answers
    def DeleteBillableMetric(
        self, request: pb.DeleteBillableMetricRequest, context: Context
    ) -> pb.DeleteBillableMetricResponse:
        """Remove a metric."""
        return self.answer(
            request,
            context,
            pb.DeleteBillableMetricResponse,
            lambda tx, organization: pb.DeleteBillableMetricResponse(
                billable_metric=metric_to_pb(metrics.delete_metric(self.deps, tx, organization, request.code))
            ),
        )

    @answers
    def CreatePlan(self, request: pb.CreatePlanRequest, context: Context) -> pb.CreatePlanResponse:
        """Create the first version of a plan."""
        draft = plan_from_pb(request.plan)
        return self.answer(
            request,
            context,
            pb.CreatePlanResponse,
            lambda tx, organization: pb.CreatePlanResponse(
                plan=plan_to_pb(plans.create_plan(self.deps, tx, organization, draft))
            ),
        )

    @answers
    def UpdatePlan(self, request: pb.UpdatePlanRequest, context: Context) -> pb.UpdatePlanResponse:
        """Change a plan."""
        draft = plan_from_pb(request.plan)
        return self.answer(
            request,
            context,
            pb.UpdatePlanResponse,
            lambda tx, organization: pb.UpdatePlanResponse(
                plan=plan_to_pb(plans.update_plan(self.deps, tx, organization, draft))
            ),
        )

    @answers
    def GetPlan(self, request: pb.GetPlanRequest, context: Context) -> pb.GetPlanResponse:
        """Find one plan by its code."""
        found = queries.get_plan(self.deps, organization_of(context), request.code, request.version)
        return pb.GetPlanResponse(plan=plan_to_pb(found))

    @answers
    def ListPlans(self, request: pb.ListPlansRequest, context: Context) -> pb.ListPlansResponse:
        """List the current versions of the plans on sale."""
        listed = queries.list_plans(self.deps, organization_of(context), page_from_pb(request.page))
        found = [plan_to_pb(each) for each in listed.items]
        return pb.ListPlansResponse(plans=found, page=page_to_pb(listed))

    @answers
    def ListPlanVersions(self, request: pb.ListPlanVersionsRequest, context: Context) -> pb.ListPlanVersionsResponse:
        """List all versions of one plan."""
        versions = queries.list_plan_versions(self.deps, organization_of(context), request.code)
        return pb.ListPlanVersionsResponse(plans=[plan_to_pb(each) for each in versions])

    @answers
    def DeletePlan(self, request: pb.DeletePlanRequest, context: Context) -> pb.DeletePlanResponse:
        """Withdraw a plan from sale."""
        return self.answer(
            request,
            context,
            pb.DeletePlanResponse,
            lambda tx, organization: pb.DeletePlanResponse(
                plan=plan_to_pb(plans.delete_plan(self.deps, tx, organization, request.code))
            ),
        )

    @answers
    def MigratePlanVersion(
        self, request: pb.MigratePlanVersionRequest, context: Context
    ) -> pb.MigratePlanVersionResponse:
        """Move the subscriptions of one version to another."""
        versions = request.code, request.from_version, request.to_version
        return self.answer(
            request,
            context,
            pb.MigratePlanVersionResponse,
            lambda tx, organization: pb.MigratePlanVersionResponse(
                moves=[move_to_pb(each) for each in migrate_plan_version(self.deps, tx, organization, *versions)]
            ),
        )

    @answers
    def UpsertTax(self, request: pb.UpsertTaxRequest, context: Context) -> pb.UpsertTaxResponse:
        """Create or change a tax."""
        draft = tax_from_pb(request.tax)
        return self.answer(
            request,
            context,
            pb.UpsertTaxResponse,
            lambda tx, organization: pb.UpsertTaxResponse(
                tax=tax_to_pb(coupons.upsert_tax(self.deps, tx, organization, draft))
            ),
        )

    @answers
    def ListTaxes(self, request: pb.ListTaxesRequest, context: Context) -> pb.ListTaxesResponse:
        """List the organization's taxes."""
        listed = queries.list_taxes(self.deps, organization_of(context), page_from_pb(request.page))
        found = [tax_to_pb(each) for each in listed.items]
        return pb.ListTaxesResponse(taxes=found, page=page_to_pb(listed))

    @answers
    def CreateCoupon(self, request: pb.CreateCouponRequest, context: Context) -> pb.CreateCouponResponse:
        """Create a coupon."""
        draft = coupon_from_pb(request.coupon)
        return self.answer(
            request,
            context,
            pb.CreateCouponResponse,
            lambda tx, organization: pb.CreateCouponResponse(
                coupon=coupon_to_pb(coupons.create_coupon(self.deps, tx, organization, draft))
            ),
        )

    @answers
    def ListCoupons(self, request: pb.ListCouponsRequest, context: Context) -> pb.ListCouponsResponse:
        """List the organization's coupons."""
        listed = queries.list_coupons(self.deps, organization_of(context), page_from_pb(request.page))
        found = [coupon_to_pb(each) for each in listed.items]
        return pb.ListCouponsResponse(coupons=found, page=page_to_pb(listed))
