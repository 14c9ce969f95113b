"""Plans with their charges and entitlements: messages to domain and back."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from farebox.rating.v1 import charge_pb2
from farebox.rating.v1 import plan_pb2 as pb
from services.kernel.cadence import CadenceUnit, Interval, ResetWindow
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import ChargeId, PlanId, new_id
from services.kernel.money import Currency, currency
from services.rating.catalog.convert.charge_models import model_from_pb, model_to_pb
from services.rating.pricing.catalog import (
    MAX_CHARGE_FILTERS,
    MAX_GROUP_KEYS,
    MAX_PLAN_CHARGES,
    MAX_PLAN_ENTITLEMENTS,
    PlanVersion,
)
from services.rating.pricing.charge_filter import ChargeFilter
from services.rating.pricing.plan import Charge, Plan, PlanEntitlement
from services.rating.shared.limits import MAX_CODE, MAX_NAME, require_code, require_text
from services.wire.values import decimal_or_none_of, decimal_to_pb, instant_to_pb

PATH = "plan"
MAX_INTERVAL_COUNT = 366
_MONTHS_PER_YEAR = 12
# Ten billion in a currency of two decimals; beyond it a price is a typing mistake.
MAX_AMOUNT_CENTS = 10**12
# A draft has no identity, version and age of its own: the command gives it all three.
NOT_YET = datetime.min.replace(tzinfo=UTC)

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


def plan_from_pb(message: pb.Plan) -> PlanVersion:
    """The draft of a plan, or a refusal that names its fields."""
    priced_in = currency(message.currency, field=f"{PATH}.currency")
    _require_at_most(f"{PATH}.charges", len(message.charges), MAX_PLAN_CHARGES)
    _require_at_most(f"{PATH}.entitlements", len(message.entitlements), MAX_PLAN_ENTITLEMENTS)
    charges = tuple(_charge_from_pb(each, number, priced_in) for number, each in enumerate(message.charges))
    _require_unique_codes(charges)
    entitlements = tuple(_entitlement_from_pb(each, number) for number, each in enumerate(message.entitlements))
    for name in ("amount_cents", "minimum_commitment_cents"):
        _require_amount(f"{PATH}.{name}", getattr(message, name))
    with inside(PATH):
        plan = Plan(
            code=message.code,
            currency=priced_in,
            interval=_interval_from_pb(message),
            base_amount=priced_in.to_major(message.amount_cents),
            in_advance=message.pay_in_advance,
            charges=charges,
            bill_charges_monthly=message.bill_charges_monthly,
            trial_days=message.trial_days,
            minimum_commitment_amount=priced_in.to_major(message.minimum_commitment_cents),
            entitlements=entitlements,
            name=message.name,
        )
        return PlanVersion(
            plan_id=PlanId(""),
            plan=plan,
            created_at=NOT_YET,
            description=message.description,
            tax_codes=tuple(message.tax_codes),
            bill_usage_in_trial=message.bill_usage_in_trial if message.HasField("bill_usage_in_trial") else True,
        )


def _interval_from_pb(message: pb.Plan) -> Interval:
    known = _UNITS.get(message.interval.unit)
    if known is None:
        raise InvalidArgumentError.of_field("interval.unit", "value_is_mandatory", "is day, week, month or year")
    if not 1 <= message.interval.count <= MAX_INTERVAL_COUNT:
        raise InvalidArgumentError.of_field("interval.count", "value_is_invalid", f"is 1 to {MAX_INTERVAL_COUNT}")
    unit, factor = known
    return Interval(unit, message.interval.count * factor)


def _charge_from_pb(message: charge_pb2.Charge, number: int, priced_in: Currency) -> Charge:
    path = f"{PATH}.charges[{number}]"
    require_code(f"{path}.metric_code", message.metric_code)
    require_text(f"{path}.code", message.code, MAX_CODE)
    require_text(f"{path}.invoice_display_name", message.invoice_display_name, MAX_NAME)
    _require_amount(f"{path}.min_amount_cents", message.min_amount_cents)
    _require_at_most(f"{path}.filters", len(message.filters), MAX_CHARGE_FILTERS)
    _require_at_most(f"{path}.group_by", len(message.group_by), MAX_GROUP_KEYS)
    for key_number, key in enumerate(message.group_by):
        require_code(f"{path}.group_by[{key_number}]", key)
    model = model_from_pb(message.model, f"{path}.model")
    filters = tuple(_filter_from_pb(each, f"{path}.filters[{n}]", n) for n, each in enumerate(message.filters))
    with inside(path, {"minimum_amount": "min_amount_cents"}):
        return Charge(
            charge_id=ChargeId(new_id()),
            metric_code=message.metric_code,
            model=model,
            filters=filters,
            group_by=tuple(message.group_by) or None,
            minimum_amount=priced_in.to_major(message.min_amount_cents),
            prorated=message.prorated,
            in_advance=message.pay_in_advance,
            description=message.invoice_display_name,
            code=message.code or message.metric_code,
        )


def _filter_from_pb(message: charge_pb2.Charge.FilteredPrice, path: str, number: int) -> ChargeFilter:
    if not message.values:
        raise InvalidArgumentError.of_field(f"{path}.values", "value_is_mandatory", "says which events it prices")
    model = model_from_pb(message.model, f"{path}.model")
    require_text(f"{path}.invoice_display_name", message.invoice_display_name, MAX_NAME)
    conditions = tuple((name, tuple(accepted.values)) for name, accepted in sorted(message.values.items()))
    return ChargeFilter(str(number + 1), conditions, model, message.invoice_display_name)


def _entitlement_from_pb(message: pb.PlanEntitlement, number: int) -> PlanEntitlement:
    path = f"{PATH}.entitlements[{number}]"
    require_code(f"{path}.feature_code", message.feature_code)
    if message.reset not in _RESETS:
        raise InvalidArgumentError.of_field(f"{path}.reset", "value_is_invalid", "is not a known reset")
    value: bool | Decimal | str | None
    match message.kind:
        case pb.PlanEntitlement.KIND_GATE:
            return PlanEntitlement(message.feature_code, message.enabled)
        case pb.PlanEntitlement.KIND_CONFIGURATION:
            require_text(f"{path}.value", message.value, MAX_NAME)
            return PlanEntitlement(message.feature_code, message.value)
        case pb.PlanEntitlement.KIND_USAGE_LIMIT:
            require_code(f"{path}.metric_code", message.metric_code)
            value = decimal_or_none_of(message, "limit", path)
            if value is not None and value < 0:
                raise InvalidArgumentError.of_field(f"{path}.limit", "value_is_out_of_range", "is zero or more")
            reset = _RESETS[message.reset]
            return PlanEntitlement(message.feature_code, value, not message.hard, reset, message.metric_code)
        case _:
            raise InvalidArgumentError.of_field(f"{path}.kind", "value_is_mandatory", "is gate, limit or configuration")


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
        charges=[_charge_to_pb(each, plan.currency) for each in plan.charges],
        entitlements=[_entitlement_to_pb(each) for each in plan.entitlements],
        created_at=instant_to_pb(version.created_at),
        tax_codes=version.tax_codes,
        bill_usage_in_trial=version.bill_usage_in_trial,
        deleted_at=instant_to_pb(version.deleted_at),
        active_subscription_count=version.active_subscription_count,
    )


def _interval_to_pb(interval: Interval) -> pb.BillingInterval:
    """Whole years are told as years."""
    if interval.unit is CadenceUnit.MONTH and interval.every % _MONTHS_PER_YEAR == 0:
        return pb.BillingInterval(unit=pb.BillingInterval.UNIT_YEAR, count=interval.every // _MONTHS_PER_YEAR)
    return pb.BillingInterval(unit=_UNITS_TO_PB[interval.unit], count=interval.every)


def _charge_to_pb(charge: Charge, priced_in: Currency) -> charge_pb2.Charge:
    return charge_pb2.Charge(
        id=charge.charge_id,
        code=charge.code,
        metric_code=charge.metric_code,
        invoice_display_name=charge.description,
        model=model_to_pb(charge.model),
        filters=[_filter_to_pb(each) for each in charge.filters],
        group_by=charge.group_by or (),
        min_amount_cents=priced_in.to_minor(charge.minimum_amount),
        pay_in_advance=charge.in_advance,
        prorated=charge.prorated,
    )


def _filter_to_pb(each: ChargeFilter) -> charge_pb2.Charge.FilteredPrice:
    values = {name: charge_pb2.Charge.PropertyValues(values=accepted) for name, accepted in each.conditions}
    return charge_pb2.Charge.FilteredPrice(
        values=values, model=model_to_pb(each.model), invoice_display_name=each.description
    )


def _entitlement_to_pb(each: PlanEntitlement) -> pb.PlanEntitlement:
    if isinstance(each.value, bool):
        return pb.PlanEntitlement(feature_code=each.feature_code, kind=pb.PlanEntitlement.KIND_GATE, enabled=each.value)
    if isinstance(each.value, str):
        return pb.PlanEntitlement(
            feature_code=each.feature_code, kind=pb.PlanEntitlement.KIND_CONFIGURATION, value=each.value
        )
    return pb.PlanEntitlement(
        feature_code=each.feature_code,
        kind=pb.PlanEntitlement.KIND_USAGE_LIMIT,
        limit=None if each.value is None else decimal_to_pb(each.value),
        metric_code=each.metric_code,
        hard=not each.is_soft,
        reset=_RESETS_TO_PB[each.reset],
    )


def _require_unique_codes(charges: tuple[Charge, ...]) -> None:
    """Two charges of one metric need codes of their own."""
    seen: set[str] = set()
    for number, each in enumerate(charges):
        if each.code in seen:
            raise InvalidArgumentError.of_field(
                f"{PATH}.charges[{number}].code", "value_already_exist", "is the code of another charge"
            )
        seen.add(each.code)


def _require_at_most(path: str, count: int, most: int) -> None:
    if count > most:
        raise InvalidArgumentError.of_field(path, "value_is_invalid", f"are at most {most}")


def _require_amount(path: str, amount_cents: int) -> None:
    if not 0 <= amount_cents <= MAX_AMOUNT_CENTS:
        raise InvalidArgumentError.of_field(path, "value_is_out_of_range", f"is 0 to {MAX_AMOUNT_CENTS}")
