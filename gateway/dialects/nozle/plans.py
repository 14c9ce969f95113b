"""Plans and their versions."""

from __future__ import annotations

from typing import Any

from farebox.rating.v1 import catalog_service_pb2 as service
from farebox.rating.v1.plan_pb2 import BillingInterval, Plan
from gateway.call import Call
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.charges import charge_json, metric_codes, read_charge
from gateway.dialects.nozle.entitlements import entitlement_json, read_entitlement
from gateway.dialects.nozle.read import Reader
from gateway.problem import not_available

UNITS = {
    "day": BillingInterval.UNIT_DAY,
    "week": BillingInterval.UNIT_WEEK,
    "month": BillingInterval.UNIT_MONTH,
    "year": BillingInterval.UNIT_YEAR,
}
INTERVALS = {
    "weekly": ("week", 1),
    "monthly": ("month", 1),
    "quarterly": ("month", 3),
    "semiannual": ("month", 6),
    "yearly": ("year", 1),
}
# Our extension: every N days, weeks, months or years, by `interval_unit` and `interval_count`.
CUSTOM = "custom"


async def create(call: Call) -> Any:
    """`POST /plans`."""
    body = Reader(call.wrapped("plan"))
    plan = await apply(call, body, Plan())
    request = service.CreatePlanRequest(request_id=call.mutation_id, plan=plan)
    answer = await call.ask(call.clients.catalog.CreatePlan, request)
    return {"plan": plan_json(answer.plan)}


async def update(call: Call) -> Any:
    """`PUT /plans/{code}`: fields that are not given stay; a sold plan gets its next version."""
    body = Reader(call.wrapped("plan"))
    plan = await apply(call, body, await get(call, call.path["code"]))
    request = service.UpdatePlanRequest(request_id=call.mutation_id, plan=plan)
    answer = await call.ask(call.clients.catalog.UpdatePlan, request)
    return {"plan": plan_json(answer.plan)}


async def find(call: Call) -> Any:
    """`GET /plans/{code}`, or one version of it with `version=`."""
    version = Reader(call.query).integer("version")
    return {"plan": plan_json(await get(call, call.path["code"], version))}


async def find_all(call: Call) -> Any:
    """`GET /plans`: the current versions; the only route for publishable keys."""
    page = pages.read(call.query)
    answer = await call.ask(call.clients.catalog.ListPlans, service.ListPlansRequest(page=page))
    plans = [plan_json(plan) for plan in answer.plans]
    return {"plans": plans, "meta": pages.meta(page, answer.page, len(plans))}


async def delete(call: Call) -> Any:
    """`DELETE /plans/{code}`: withdraw it from sale."""
    request = service.DeletePlanRequest(request_id=call.mutation_id, code=call.path["code"])
    return {"plan": plan_json((await call.ask(call.clients.catalog.DeletePlan, request)).plan)}


async def find_versions(call: Call) -> Any:
    """`GET /plans/{code}/versions`: oldest first."""
    request = service.ListPlanVersionsRequest(code=call.path["code"])
    plans = (await call.ask(call.clients.catalog.ListPlanVersions, request)).plans
    return {"versions": [plan_json(plan) for plan in sorted(plans, key=lambda plan: plan.version)]}


async def preview_migration(call: Call) -> Any:
    """`POST /plans/{code}/version-migrations/preview`: what moving subscriptions to a version would do."""
    answer = await call.ask(call.clients.catalog.MigratePlanVersion, _migration(call, validate_only=True))
    return {"plan_version_migration_preview": _migration_json(call, answer)}


async def migrate(call: Call) -> Any:
    """`POST /plans/{code}/version-migrations`: move subscriptions at the end of their period."""
    request = _migration(call, validate_only=False)
    answer = await call.ask(call.clients.catalog.MigratePlanVersion, request)
    migration = {**write.ids(request.request_id), "status": "succeeded", **_migration_json(call, answer)}
    return {"plan_version_migration": migration}


async def get(call: Call, code: str, version: int = 0) -> Plan:
    """One version of a plan; 0 is the current one."""
    request = service.GetPlanRequest(code=code, version=version)
    plan: Plan = (await call.ask(call.clients.catalog.GetPlan, request)).plan
    return plan


async def apply(call: Call, body: Reader, plan: Plan) -> Plan:
    """The plan with what the body says of it; what it does not name stays as it is.

    Raises:
        Problem: 404, a charge's metric is unknown; 422, a field cannot be read, or is one that is not offered.
    """
    for name in ("fixed_charges", "usage_thresholds"):
        if body.value(name):
            raise not_available(name)
    _apply_terms(body, plan)
    if body.has("charges"):
        charges = body.objects("charges")
        codes = await metric_codes(call, charges)
        del plan.charges[:]
        plan.charges.extend(read_charge(charge, codes) for charge in charges)
    if body.has("entitlements"):
        del plan.entitlements[:]
        plan.entitlements.extend(read_entitlement(each) for each in body.objects("entitlements"))
    return plan


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan as the clients of Lago and of Nozle's Engine read it."""
    created_at = write.instant(plan, "created_at")
    return {
        **write.ids(plan.id),
        "code": plan.code,
        "name": plan.name,
        "invoice_display_name": None,
        "description": plan.description or None,
        "version": plan.version,
        "is_current": plan.current,
        "interval": interval_word(plan.interval),
        "interval_unit": write.word(UNITS, plan.interval.unit),
        "interval_count": plan.interval.count,
        "amount_cents": plan.amount_cents,
        "amount_currency": plan.currency,
        "trial_period": plan.trial_days,
        "pay_in_advance": plan.pay_in_advance,
        "bill_charges_monthly": plan.bill_charges_monthly,
        "minimum_commitment": _commitment_json(plan),
        "charges": [charge_json(charge, {}, created_at) for charge in plan.charges],
        "fixed_charges": [],
        "entitlements": [entitlement_json(each) for each in plan.entitlements],
        "tax_codes": list(plan.tax_codes),
        "taxes": [],
        "usage_thresholds": [],
        "active_subscriptions_count": plan.active_subscription_count,
        "created_at": created_at,
        "deleted_at": write.instant(plan, "deleted_at"),
    }


def interval_word(interval: BillingInterval) -> str:
    """Lago's word for a length of period, or `custom`."""
    shape = (write.word(UNITS, interval.unit), interval.count)
    return next((name for name, known in INTERVALS.items() if known == shape), CUSTOM)


def _apply_terms(body: Reader, plan: Plan) -> None:
    """What is not a list."""
    plan.code = body.text("code", plan.code)
    plan.name = body.text("name", plan.name) or plan.code
    plan.description = body.text("description", plan.description)
    if body.has("interval", "interval_unit"):
        plan.interval.CopyFrom(_read_interval(body))
    plan.amount_cents = body.integer("amount_cents", plan.amount_cents)
    plan.currency = body.text("amount_currency", plan.currency)
    plan.pay_in_advance = body.flag("pay_in_advance", default=plan.pay_in_advance)
    plan.bill_charges_monthly = body.flag("bill_charges_monthly", default=plan.bill_charges_monthly)
    plan.trial_days = body.integer("trial_period", plan.trial_days)
    if body.has("minimum_commitment"):
        plan.minimum_commitment_cents = body.object("minimum_commitment").integer("amount_cents")
    if body.has("tax_codes"):
        plan.tax_codes[:] = body.texts("tax_codes")


def _read_interval(body: Reader) -> BillingInterval:
    word = body.text("interval", CUSTOM).lower()
    if word in INTERVALS:
        unit, count = INTERVALS[word]
        return BillingInterval(unit=UNITS[unit], count=count)
    if word != CUSTOM:
        raise body.refusal("interval", "value_is_invalid", f"must be one of {', '.join(INTERVALS)} or {CUSTOM}")
    body.required("interval_unit")
    unit_value = body.choice("interval_unit", UNITS, BillingInterval.UNIT_UNSPECIFIED)
    return BillingInterval(unit=unit_value, count=body.integer("interval_count", 1))


def _commitment_json(plan: Plan) -> dict[str, Any] | None:
    if not plan.minimum_commitment_cents:
        return None
    return {
        # The commitment is a term of the plan and has no id of its own.
        **write.ids(plan.id),
        "plan_code": plan.code,
        "amount_cents": plan.minimum_commitment_cents,
        "interval": interval_word(plan.interval),
        "invoice_display_name": None,
        "created_at": write.instant(plan, "created_at"),
        "taxes": [],
    }


def _migration(call: Call, *, validate_only: bool) -> service.MigratePlanVersionRequest:
    body = Reader(call.json())
    return service.MigratePlanVersionRequest(
        # A preview has no identity, so that the key stays free for the change itself.
        request_id="" if validate_only else call.mutation_id,
        code=call.path["code"],
        from_version=body.integer("from_version"),
        to_version=body.integer("to_version"),
        validate_only=validate_only,
    )


def _migration_json(call: Call, answer: service.MigratePlanVersionResponse) -> dict[str, Any]:
    items = [
        {
            "external_subscription_id": move.external_subscription_id,
            "outcome": "skip" if move.skip_reason else "move",
            "skip_reason": move.skip_reason or None,
            "effective_on": (write.instant(move, "effective_at") or "")[:10] or None,
            "current_amount_cents": move.current_amount_cents,
            "new_amount_cents": move.new_amount_cents,
        }
        for move in answer.moves
    ]
    skipped = sum(item["outcome"] == "skip" for item in items)
    counts = {"matched_count": len(items), "succeeded_count": len(items) - skipped, "skipped_count": skipped}
    return {"plan_code": call.path["code"], **counts, "failed_count": 0, "items": items}
