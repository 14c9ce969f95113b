"""Plans with their entitlements: messages to domain and back. Their charges are in `charges.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from farebox.rating.v1 import catalog_service_pb2
from farebox.rating.v1 import plan_pb2 as pb
from services.kernel.cadence import MONTHLY, CadenceUnit, Interval, ResetWindow
from services.kernel.checks import Checks, inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import PlanId
from services.kernel.money import CURRENCIES, Currency, currency
from services.rating.catalog.convert.charges import charge_to_pb, charges_from_pb
from services.rating.pricing.catalog import MAX_PLAN_ENTITLEMENTS, PlanVersion
from services.rating.pricing.plan import Plan, PlanEntitlement
from services.rating.shared.limits import (
    MAX_AMOUNT_CENTS,
    MAX_NAME,
    require_cents,
    require_code,
    require_name,
    require_text,
)
from services.wire.masks import patched
from services.wire.values import decimal_or_none_of, decimal_to_pb, instant_to_pb, optional_int_of

PATH = "plan"
MAX_INTERVAL_COUNT = 366
_MONTHS_PER_YEAR = 12
# Other services learn of a plan in one message, and NATS takes 1 MiB. Half of it leaves room for what travels with it.
MAX_PLAN_BYTES = 512 * 1024
# The fields that Farebox sets and nobody can change.
_GIVEN = ("id", "version", "current", "created_at", "deleted_at", "active_subscription_count")
# A draft has no identity, version and creation time yet: the command sets all three.
NOT_YET = datetime.min.replace(tzinfo=UTC)
# Stand-in for a currency that is refused, so that the rest of the plan can be checked.
_ANY_CURRENCY = CURRENCIES["USD"]

_UNITS = {
    pb.BillingInterval.UNIT_DAY: (CadenceUnit.DAY, 1),
    pb.BillingInterval.UNIT_WEEK: (CadenceUnit.WEEK, 1),
    pb.BillingInterval.UNIT_MONTH: (CadenceUnit.MONTH, 1),
    pb.BillingInterval.UNIT_YEAR: (CadenceUnit.MONTH, _MONTHS_PER_YEAR),
}
_UNITS_TO_PB = {
    CadenceUnit.DAY: pb.BillingInterval.UNIT_DAY,
    CadenceUnit.WEEK: pb.BillingInterval.UNIT_WEEK,
    CadenceUnit.MONTH: pb.BillingInterval.UNIT_MONTH,
}
_RESETS = {
    pb.PlanEntitlement.RESET_UNSPECIFIED: ResetWindow.BILLING_PERIOD,
    pb.PlanEntitlement.RESET_BILLING_PERIOD: ResetWindow.BILLING_PERIOD,
    pb.PlanEntitlement.RESET_DAY: ResetWindow.DAY,
    pb.PlanEntitlement.RESET_WEEK: ResetWindow.WEEK,
    pb.PlanEntitlement.RESET_MONTH: ResetWindow.MONTH,
    pb.PlanEntitlement.RESET_NEVER: ResetWindow.NEVER,
}
_RESETS_TO_PB = {window: reset for reset, window in _RESETS.items()}


def plan_from_pb(message: pb.Plan, path: str = PATH) -> PlanVersion:
    """The draft of a plan, or a refusal that names every wrong field.

    A charge that names its metric by id has no metric code yet; the command finds it.

    Args:
        message: the plan.
        path: where it stands in the request.
    """
    require_size(message, path)
    with inside(path) as checks:
        checks(require_code, "code", message.code)
        checks(require_name, "name", message.name)
        priced_in = checks.read(_ANY_CURRENCY, currency, message.currency)
        if not message.HasField("amount_cents"):
            checks.refuse("amount_cents", "value_is_mandatory", "is required; a plan without base price says 0")
        for name in ("amount_cents", "minimum_commitment_cents"):
            checks(require_cents, name, getattr(message, name))
        plan = Plan(
            code=message.code,
            currency=priced_in,
            interval=checks.read(MONTHLY, _interval_from_pb, message),
            base_amount=_major(priced_in, message.amount_cents),
            in_advance=message.pay_in_advance,
            charges=charges_from_pb(message.charges, priced_in, checks),
            bill_charges_monthly=message.bill_charges_monthly,
            trial_days=message.trial_days,
            minimum_commitment_amount=_major(priced_in, message.minimum_commitment_cents),
            entitlements=_entitlements_from_pb(message, checks),
            name=message.name,
        )
        return PlanVersion(
            plan_id=PlanId(""),
            plan=plan,
            created_at=NOT_YET,
            description=message.description,
            tax_codes=tuple(message.tax_codes),
            bill_usage_in_trial=message.bill_usage_in_trial if message.HasField("bill_usage_in_trial") else True,
            net_payment_term_days=optional_int_of(message, "net_payment_term_days"),
            metadata=dict(message.metadata),
        )


def revised_plan_from_pb(request: catalog_service_pb2.UpdatePlanRequest, current: PlanVersion) -> PlanVersion:
    """The new content of a plan after a request that changes all or part of it, or a refusal that names its fields."""
    return plan_from_pb(patched(plan_to_pb(current), request, PATH, given=_GIVEN))


def require_size(message: pb.Plan, path: str) -> None:
    """Refuse a plan that is too large to be announced in one message."""
    if message.ByteSize() > MAX_PLAN_BYTES:
        raise InvalidArgumentError.of_field(path, "value_is_too_long", f"has at most {MAX_PLAN_BYTES} bytes in all")


def _major(priced_in: Currency, amount_cents: int) -> Decimal:
    """An amount that was checked already; if it was refused, a stand-in."""
    return priced_in.to_major(min(max(amount_cents, 0), MAX_AMOUNT_CENTS))


def _interval_from_pb(message: pb.Plan) -> Interval:
    known = _UNITS.get(message.interval.unit)
    if known is None:
        raise InvalidArgumentError.of_field("interval.unit", "value_is_mandatory", "is day, week, month or year")
    if not 1 <= message.interval.count <= MAX_INTERVAL_COUNT:
        raise InvalidArgumentError.of_field("interval.count", "value_is_invalid", f"is 1 to {MAX_INTERVAL_COUNT}")
    unit, factor = known
    return Interval(unit, message.interval.count * factor)


def _entitlements_from_pb(message: pb.Plan, checks: Checks) -> tuple[PlanEntitlement, ...]:
    if len(message.entitlements) > MAX_PLAN_ENTITLEMENTS:
        checks.refuse("entitlements", "value_is_invalid", f"are at most {MAX_PLAN_ENTITLEMENTS}")
    read = (
        checks.read(None, _entitlement_from_pb, entitlement, f"entitlements[{number}]")
        for number, entitlement in enumerate(message.entitlements[:MAX_PLAN_ENTITLEMENTS])
    )
    return tuple(entitlement for entitlement in read if entitlement is not None)


def _entitlement_from_pb(message: pb.PlanEntitlement, path: str) -> PlanEntitlement:
    with inside(path) as checks:
        checks(require_code, "feature_code", message.feature_code)
        if message.reset not in _RESETS:
            checks.refuse("reset", "value_is_invalid", "is not a known reset")
        match message.kind:
            case pb.PlanEntitlement.KIND_GATE:
                return PlanEntitlement(message.feature_code, message.enabled)
            case pb.PlanEntitlement.KIND_CONFIGURATION:
                checks(require_text, "value", message.value, MAX_NAME)
                return PlanEntitlement(message.feature_code, message.value)
            case pb.PlanEntitlement.KIND_USAGE_LIMIT:
                checks(require_code, "metric_code", message.metric_code)
                limit = checks.read(None, decimal_or_none_of, message, "limit")
                if limit is not None and limit < 0:
                    checks.refuse("limit", "value_is_out_of_range", "is zero or more")
                reset = _RESETS.get(message.reset, ResetWindow.BILLING_PERIOD)
                return PlanEntitlement(message.feature_code, limit, not message.hard, reset, message.metric_code)
            case _:
                checks.refuse("kind", "value_is_mandatory", "is gate, limit or configuration")
                return PlanEntitlement(message.feature_code, value=False)


def plan_to_pb(version: PlanVersion) -> pb.Plan:
    """The plan version as it is."""
    plan = version.plan
    return pb.Plan(
        id=version.plan_id,
        code=plan.code,
        name=plan.name,
        description=version.description,
        version=plan.version,
        current=version.is_current,
        interval=_interval_to_pb(plan.interval),
        amount_cents=version.base_amount_cents,
        currency=plan.currency.code,
        pay_in_advance=plan.in_advance,
        bill_charges_monthly=plan.bill_charges_monthly,
        trial_days=plan.trial_days,
        minimum_commitment_cents=plan.currency.to_minor(plan.minimum_commitment_amount),
        charges=[charge_to_pb(charge, plan) for charge in plan.charges],
        entitlements=[_entitlement_to_pb(entitlement) for entitlement in plan.entitlements],
        created_at=instant_to_pb(version.created_at),
        tax_codes=version.tax_codes,
        bill_usage_in_trial=version.bill_usage_in_trial,
        deleted_at=instant_to_pb(version.deleted_at),
        active_subscription_count=version.active_subscription_count,
        net_payment_term_days=version.net_payment_term_days,
        metadata=version.metadata,
    )


def _interval_to_pb(interval: Interval) -> pb.BillingInterval:
    """The interval; whole years are written as years."""
    if interval.unit is CadenceUnit.MONTH and interval.every % _MONTHS_PER_YEAR == 0:
        return pb.BillingInterval(unit=pb.BillingInterval.UNIT_YEAR, count=interval.every // _MONTHS_PER_YEAR)
    return pb.BillingInterval(unit=_UNITS_TO_PB[interval.unit], count=interval.every)


def _entitlement_to_pb(entitlement: PlanEntitlement) -> pb.PlanEntitlement:
    if isinstance(entitlement.value, bool):
        return pb.PlanEntitlement(
            feature_code=entitlement.feature_code, kind=pb.PlanEntitlement.KIND_GATE, enabled=entitlement.value
        )
    if isinstance(entitlement.value, str):
        return pb.PlanEntitlement(
            feature_code=entitlement.feature_code, kind=pb.PlanEntitlement.KIND_CONFIGURATION, value=entitlement.value
        )
    return pb.PlanEntitlement(
        feature_code=entitlement.feature_code,
        kind=pb.PlanEntitlement.KIND_USAGE_LIMIT,
        limit=None if entitlement.value is None else decimal_to_pb(entitlement.value),
        metric_code=entitlement.metric_code,
        hard=not entitlement.is_soft,
        reset=_RESETS_TO_PB[entitlement.reset],
    )
