"""CatalogService."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from farebox.rating.v1 import catalog_service_pb2 as pb
from farebox.rating.v1 import catalog_service_pb2_grpc as grpc_pb
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.changes import says_change
from services.chassis.rpc.command import command
from services.kernel.ids import OrganizationId
from services.rating.agreements.convert import move_to_pb
from services.rating.catalog import queries
from services.rating.catalog.commands import add_ons, coupons, metrics, plans, taxes
from services.rating.catalog.convert.add_ons import add_on_from_pb, add_on_to_pb, revised_add_on_from_pb
from services.rating.catalog.convert.coupons import coupon_from_pb, coupon_to_pb, revised_coupon_from_pb
from services.rating.catalog.convert.metrics import metric_from_pb, metric_to_pb, revised_metric_from_pb
from services.rating.catalog.convert.plan_edits import PlanEdit
from services.rating.catalog.convert.plans import plan_from_pb, plan_to_pb, revised_plan_from_pb
from services.rating.catalog.convert.taxes import revised_tax_from_pb, tax_from_pb, tax_to_pb
from services.rating.deps import Deps
from services.rating.pricing.catalog import AddOn, CatalogTax, Coupon, MetricVersion, PlanVersion
from services.rating.subscriptions.commands import migrate_plan_version
from services.wire.masks import named_code
from services.wire.values import page_from_pb, page_to_pb


class CatalogServicer(grpc_pb.CatalogServiceServicer):
    """What is counted and what is sold."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @says_change
    @command(
        pb.CreateBillableMetricRequest,
        pb.CreateBillableMetricResponse,
        reads=lambda request: metric_from_pb(request.billable_metric),
    )
    def CreateBillableMetric(
        self, tx: Connection, organization: OrganizationId, draft: MetricVersion
    ) -> pb.CreateBillableMetricResponse:
        """Create a metric."""
        made = metrics.create_metric(self.deps, tx, organization, draft)
        return pb.CreateBillableMetricResponse(billable_metric=metric_to_pb(made))

    @says_change
    @command(pb.UpdateBillableMetricRequest, pb.UpdateBillableMetricResponse)
    def UpdateBillableMetric(
        self, tx: Connection, organization: OrganizationId, request: pb.UpdateBillableMetricRequest
    ) -> pb.UpdateBillableMetricResponse:
        """Change a metric."""
        code = named_code(request, "billable_metric")
        changed = metrics.update_metric(
            self.deps, tx, organization, code, lambda current: revised_metric_from_pb(request, current)
        )
        return pb.UpdateBillableMetricResponse(billable_metric=metric_to_pb(changed))

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
        page = page_from_pb(request.page)
        listed = queries.list_metrics(self.deps, organization_of(context), page, request.codes)
        found = [metric_to_pb(metric) for metric in listed.items]
        return pb.ListBillableMetricsResponse(billable_metrics=found, page=page_to_pb(listed))

    @says_change
    @command(pb.DeleteBillableMetricRequest, pb.DeleteBillableMetricResponse)
    def DeleteBillableMetric(
        self, tx: Connection, organization: OrganizationId, request: pb.DeleteBillableMetricRequest
    ) -> pb.DeleteBillableMetricResponse:
        """Remove a metric."""
        removed = metrics.delete_metric(self.deps, tx, organization, request.code)
        return pb.DeleteBillableMetricResponse(billable_metric=metric_to_pb(removed))

    @says_change
    @command(pb.CreatePlanRequest, pb.CreatePlanResponse, reads=lambda request: plan_from_pb(request.plan))
    def CreatePlan(self, tx: Connection, organization: OrganizationId, draft: PlanVersion) -> pb.CreatePlanResponse:
        """Create the first version of a plan."""
        return pb.CreatePlanResponse(plan=plan_to_pb(plans.create_plan(self.deps, tx, organization, draft)))

    @says_change
    @command(pb.UpdatePlanRequest, pb.UpdatePlanResponse)
    def UpdatePlan(
        self, tx: Connection, organization: OrganizationId, request: pb.UpdatePlanRequest
    ) -> pb.UpdatePlanResponse:
        """Change a plan."""
        code = named_code(request, "plan")
        changed = plans.update_plan(
            self.deps, tx, organization, code, lambda current: revised_plan_from_pb(request, current)
        )
        return pb.UpdatePlanResponse(plan=plan_to_pb(changed))

    @says_change
    @command(pb.EditPlanRequest, pb.EditPlanResponse, reads=PlanEdit)
    def EditPlan(self, tx: Connection, organization: OrganizationId, edit: PlanEdit) -> pb.EditPlanResponse:
        """Change one part of a plan."""
        with edit.in_callers_words():
            changed = plans.update_plan(self.deps, tx, organization, edit.code, edit.revise)
        return edit.answer(changed)

    @answers
    def GetPlan(self, request: pb.GetPlanRequest, context: Context) -> pb.GetPlanResponse:
        """Find one plan by its code."""
        found = queries.get_plan(self.deps, organization_of(context), request.code, request.version)
        return pb.GetPlanResponse(plan=plan_to_pb(found))

    @answers
    def ListPlans(self, request: pb.ListPlansRequest, context: Context) -> pb.ListPlansResponse:
        """List the current versions of the plans on sale."""
        page = page_from_pb(request.page)
        listed = queries.list_plans(self.deps, organization_of(context), page, request.codes)
        return pb.ListPlansResponse(plans=[plan_to_pb(plan) for plan in listed.items], page=page_to_pb(listed))

    @answers
    def ListPlanVersions(self, request: pb.ListPlanVersionsRequest, context: Context) -> pb.ListPlanVersionsResponse:
        """List all versions of one plan."""
        versions = queries.list_plan_versions(self.deps, organization_of(context), request.code)
        return pb.ListPlanVersionsResponse(plans=[plan_to_pb(version) for version in versions])

    @says_change
    @command(pb.DeletePlanRequest, pb.DeletePlanResponse)
    def DeletePlan(
        self, tx: Connection, organization: OrganizationId, request: pb.DeletePlanRequest
    ) -> pb.DeletePlanResponse:
        """Withdraw a plan from sale."""
        return pb.DeletePlanResponse(plan=plan_to_pb(plans.delete_plan(self.deps, tx, organization, request.code)))

    @says_change
    @command(pb.MigratePlanVersionRequest, pb.MigratePlanVersionResponse)
    def MigratePlanVersion(
        self, tx: Connection, organization: OrganizationId, request: pb.MigratePlanVersionRequest
    ) -> pb.MigratePlanVersionResponse:
        """Move the subscriptions of one version to another."""
        versions = request.code, request.from_version, request.to_version
        migration = migrate_plan_version(self.deps, tx, organization, *versions)
        moves = [move_to_pb(move) for move in migration.moves]
        return pb.MigratePlanVersionResponse(moves=moves, to_version=migration.to_version)

    @command(pb.CreateTaxRequest, pb.CreateTaxResponse, reads=lambda request: tax_from_pb(request.tax))
    def CreateTax(self, tx: Connection, organization: OrganizationId, draft: CatalogTax) -> pb.CreateTaxResponse:
        """Create a tax."""
        return pb.CreateTaxResponse(tax=tax_to_pb(taxes.create_tax(self.deps, tx, organization, draft)))

    @command(pb.UpdateTaxRequest, pb.UpdateTaxResponse)
    def UpdateTax(
        self, tx: Connection, organization: OrganizationId, request: pb.UpdateTaxRequest
    ) -> pb.UpdateTaxResponse:
        """Change a tax."""
        code = named_code(request, "tax")
        changed = taxes.update_tax(tx, organization, code, lambda current: revised_tax_from_pb(request, current))
        return pb.UpdateTaxResponse(tax=tax_to_pb(changed))

    @answers
    def GetTax(self, request: pb.GetTaxRequest, context: Context) -> pb.GetTaxResponse:
        """Find one tax by its code."""
        return pb.GetTaxResponse(tax=tax_to_pb(queries.get_tax(self.deps, organization_of(context), request.code)))

    @command(pb.DeleteTaxRequest, pb.DeleteTaxResponse)
    def DeleteTax(
        self, tx: Connection, organization: OrganizationId, request: pb.DeleteTaxRequest
    ) -> pb.DeleteTaxResponse:
        """Remove a tax."""
        return pb.DeleteTaxResponse(tax=tax_to_pb(taxes.delete_tax(tx, organization, request.code)))

    @command(pb.UpsertTaxRequest, pb.UpsertTaxResponse, reads=lambda request: tax_from_pb(request.tax))
    def UpsertTax(self, tx: Connection, organization: OrganizationId, draft: CatalogTax) -> pb.UpsertTaxResponse:
        """Create or change a tax."""
        return pb.UpsertTaxResponse(tax=tax_to_pb(taxes.upsert_tax(self.deps, tx, organization, draft)))

    @answers
    def ListTaxes(self, request: pb.ListTaxesRequest, context: Context) -> pb.ListTaxesResponse:
        """List the organization's taxes."""
        page = page_from_pb(request.page)
        listed = queries.list_taxes(self.deps, organization_of(context), page, request.codes)
        return pb.ListTaxesResponse(taxes=[tax_to_pb(tax) for tax in listed.items], page=page_to_pb(listed))

    @command(pb.CreateAddOnRequest, pb.CreateAddOnResponse, reads=lambda request: add_on_from_pb(request.add_on))
    def CreateAddOn(self, tx: Connection, organization: OrganizationId, draft: AddOn) -> pb.CreateAddOnResponse:
        """Create an add-on."""
        return pb.CreateAddOnResponse(add_on=add_on_to_pb(add_ons.create_add_on(self.deps, tx, organization, draft)))

    @command(pb.UpdateAddOnRequest, pb.UpdateAddOnResponse)
    def UpdateAddOn(
        self, tx: Connection, organization: OrganizationId, request: pb.UpdateAddOnRequest
    ) -> pb.UpdateAddOnResponse:
        """Change an add-on."""
        code = named_code(request, "add_on")
        changed = add_ons.update_add_on(
            tx, organization, code, lambda current: revised_add_on_from_pb(request, current)
        )
        return pb.UpdateAddOnResponse(add_on=add_on_to_pb(changed))

    @answers
    def GetAddOn(self, request: pb.GetAddOnRequest, context: Context) -> pb.GetAddOnResponse:
        """Find one add-on by its code."""
        found = queries.get_add_on(self.deps, organization_of(context), request.code)
        return pb.GetAddOnResponse(add_on=add_on_to_pb(found))

    @command(pb.DeleteAddOnRequest, pb.DeleteAddOnResponse)
    def DeleteAddOn(
        self, tx: Connection, organization: OrganizationId, request: pb.DeleteAddOnRequest
    ) -> pb.DeleteAddOnResponse:
        """Remove an add-on."""
        return pb.DeleteAddOnResponse(add_on=add_on_to_pb(add_ons.delete_add_on(tx, organization, request.code)))

    @answers
    def ListAddOns(self, request: pb.ListAddOnsRequest, context: Context) -> pb.ListAddOnsResponse:
        """List the organization's add-ons."""
        page = page_from_pb(request.page)
        listed = queries.list_add_ons(self.deps, organization_of(context), page, request.codes)
        found = [add_on_to_pb(add_on) for add_on in listed.items]
        return pb.ListAddOnsResponse(add_ons=found, page=page_to_pb(listed))

    @command(pb.CreateCouponRequest, pb.CreateCouponResponse, reads=lambda request: coupon_from_pb(request.coupon))
    def CreateCoupon(self, tx: Connection, organization: OrganizationId, draft: Coupon) -> pb.CreateCouponResponse:
        """Create a coupon."""
        return pb.CreateCouponResponse(coupon=coupon_to_pb(coupons.create_coupon(self.deps, tx, organization, draft)))

    @command(pb.UpdateCouponRequest, pb.UpdateCouponResponse)
    def UpdateCoupon(
        self, tx: Connection, organization: OrganizationId, request: pb.UpdateCouponRequest
    ) -> pb.UpdateCouponResponse:
        """Change a coupon."""
        code = named_code(request, "coupon")
        changed = coupons.update_coupon(
            tx, organization, code, lambda current: revised_coupon_from_pb(request, current)
        )
        return pb.UpdateCouponResponse(coupon=coupon_to_pb(changed))

    @answers
    def GetCoupon(self, request: pb.GetCouponRequest, context: Context) -> pb.GetCouponResponse:
        """Find one coupon by its code."""
        found = queries.get_coupon(self.deps, organization_of(context), request.code)
        return pb.GetCouponResponse(coupon=coupon_to_pb(found))

    @command(pb.DeleteCouponRequest, pb.DeleteCouponResponse)
    def DeleteCoupon(
        self, tx: Connection, organization: OrganizationId, request: pb.DeleteCouponRequest
    ) -> pb.DeleteCouponResponse:
        """Withdraw a coupon."""
        withdrawn = coupons.delete_coupon(self.deps, tx, organization, request.code)
        return pb.DeleteCouponResponse(coupon=coupon_to_pb(withdrawn))

    @answers
    def ListCoupons(self, request: pb.ListCouponsRequest, context: Context) -> pb.ListCouponsResponse:
        """List the organization's coupons."""
        page = page_from_pb(request.page)
        listed = queries.list_coupons(self.deps, organization_of(context), page, request.codes)
        return pb.ListCouponsResponse(
            coupons=[coupon_to_pb(coupon) for coupon in listed.items], page=page_to_pb(listed)
        )
