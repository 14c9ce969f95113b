"""Plans. Our extensions are `entitlements`, `net_payment_term`, and intervals of any length by `interval: "custom"`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import catalog_service_pb2 as rpc
from farebox.rating.v1.plan_pb2 import BillingInterval
from farebox.rating.v1.plan_pb2 import Plan as PlanMessage
from gateway.auth.scopes import Scope
from gateway.decode.refusals import Refusals
from gateway.dialects.lago.charge import CHARGE_NAMES, Charge, NewCharge, charge_to_api, say_charges
from gateway.dialects.lago.common import Description, Identified, Name
from gateway.dialects.lago.entitlement import (
    ENTITLEMENT_NAMES,
    NewPlanEntitlement,
    PlanEntitlement,
    plan_entitlement_to_api,
    say_plan_entitlement,
)
from gateway.dialects.lago.metadata import Entries
from gateway.projection import aware, given, patch, project
from gateway.resource import Listing, resource
from gateway.schema import MAX_COUNT, Cents, Code, Count, CurrencyCode, Instant, keys, of

_UNITS = {
    "day": BillingInterval.UNIT_DAY,
    "week": BillingInterval.UNIT_WEEK,
    "month": BillingInterval.UNIT_MONTH,
    "year": BillingInterval.UNIT_YEAR,
}
_CUSTOM = "custom"
INTERVALS = {
    "weekly": BillingInterval(unit=BillingInterval.UNIT_WEEK, count=1),
    "monthly": BillingInterval(unit=BillingInterval.UNIT_MONTH, count=1),
    "quarterly": BillingInterval(unit=BillingInterval.UNIT_MONTH, count=3),
    "semiannual": BillingInterval(unit=BillingInterval.UNIT_MONTH, count=6),
    "yearly": BillingInterval(unit=BillingInterval.UNIT_YEAR, count=1),
}
# More than a plan can have; the service decides the exact limit.
_MOST = Meta(max_length=1000)

IntervalWord = Literal["weekly", "monthly", "quarterly", "semiannual", "yearly", "custom"]
UnitWord = Annotated[Literal["day", "week", "month", "year"], Meta(description="The unit of a custom interval.")]
UnitCount = Annotated[Count, Meta(description="How many units a custom interval has; 1 by default.")]
BasePrice = Annotated[Cents, Meta(description="Base price of a full period, in minor units; 0 for none.")]
Trial = Annotated[Count, Meta(description="Days without base price.")]
TermDays = Annotated[Count, Meta(description="Days from issue until invoices are due; null means the organization's.")]


class NewCommitment(Struct, kw_only=True):
    """The least that a full period costs."""

    NOT_OFFERED: ClassVar = keys("invoice_display_name tax_codes")

    amount_cents: Cents


class PlanChange(Struct, kw_only=True):
    """The content of a plan. Lists are replaced as a whole, and charges that keep their code keep their identity."""

    NOT_OFFERED: ClassVar = keys("fixed_charges invoice_display_name usage_thresholds")
    FIXED: ClassVar = {"bill_fixed_charges_monthly": False, "cascade_updates": False}

    code: Code | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    interval: IntervalWord | UnsetType = UNSET
    interval_unit: UnitWord | UnsetType | None = UNSET
    interval_count: UnitCount | UnsetType | None = UNSET
    amount_cents: BasePrice | UnsetType = UNSET
    amount_currency: Annotated[CurrencyCode, of("currency")] | UnsetType = UNSET
    trial_period: Annotated[Trial, of("trial_days")] | UnsetType | None = UNSET
    pay_in_advance: bool | UnsetType | None = UNSET
    bill_charges_monthly: bool | UnsetType | None = UNSET
    bill_usage_in_trial: bool | UnsetType | None = UNSET
    minimum_commitment: NewCommitment | UnsetType | None = UNSET
    net_payment_term: Annotated[TermDays, of("net_payment_term_days")] | UnsetType | None = UNSET
    charges: Annotated[list[NewCharge], _MOST] | UnsetType | None = UNSET
    entitlements: Annotated[list[NewPlanEntitlement], _MOST] | UnsetType | None = UNSET
    tax_codes: Annotated[list[Code], _MOST] | UnsetType | None = UNSET
    metadata: Entries | UnsetType | None = UNSET


class NewPlan(PlanChange, kw_only=True):
    """A new plan."""

    code: Code
    interval: IntervalWord
    amount_cents: BasePrice
    amount_currency: Annotated[CurrencyCode, of("currency")]


class MinimumCommitment(Identified, kw_only=True):
    """The least that a full period costs. It is a term of the plan, and has the plan's id."""

    plan_code: Annotated[str, of("code")]
    amount_cents: Annotated[Cents, of("minimum_commitment_cents")]
    interval: IntervalWord
    created_at: Instant | None


class Plan(Identified, kw_only=True):
    """A version of what is sold. Amounts are in minor units; those of charges are exact decimals in major units."""

    code: str
    name: str
    description: str | None
    version: int
    is_current: Annotated[bool, of("current")]
    interval: IntervalWord
    interval_unit: UnitWord | None
    interval_count: int
    amount_cents: Cents
    amount_currency: Annotated[str, of("currency")]
    trial_period: Annotated[int, of("trial_days")]
    pay_in_advance: bool
    bill_charges_monthly: bool
    bill_usage_in_trial: bool
    minimum_commitment: MinimumCommitment | None
    net_payment_term: Annotated[int | None, of("net_payment_term_days")]
    charges: list[Charge]
    fixed_charges: tuple[str, ...] = ()
    usage_thresholds: tuple[str, ...] = ()
    entitlements: list[PlanEntitlement]
    tax_codes: list[str]
    metadata: dict[str, str]
    active_subscriptions_count: Annotated[int, of("active_subscription_count")]
    created_at: Instant | None
    deleted_at: Instant | None


class PlanVersionQuery(Struct):
    """Which version of a plan."""

    version: Annotated[int, Meta(ge=1, le=MAX_COUNT, description="The current one by default.")] | UnsetType = UNSET


def plan_to_api(plan: PlanMessage) -> Plan:
    """A plan as the clients of Lago and of Nozle's Engine read it."""
    created_at = aware(plan.created_at) if plan.HasField("created_at") else None
    word = interval_word(plan.interval)
    return project(
        Plan,
        plan,
        interval=word,
        interval_unit=next((word for word, unit in _UNITS.items() if unit == plan.interval.unit), None),
        interval_count=plan.interval.count,
        bill_usage_in_trial=plan.bill_usage_in_trial or not plan.HasField("bill_usage_in_trial"),
        metadata=dict(plan.metadata),
        minimum_commitment=project(MinimumCommitment, plan, interval=word) if plan.minimum_commitment_cents else None,
        charges=[charge_to_api(charge, created_at) for charge in plan.charges],
        entitlements=[plan_entitlement_to_api(entitlement) for entitlement in plan.entitlements],
    )


def interval_word(interval: BillingInterval) -> str:
    """Lago's word for the length of a period, or `custom`."""
    return next((word for word, known in INTERVALS.items() if known == interval), _CUSTOM)


def plan_from_api(plan: PlanMessage, body: PlanChange) -> list[str]:
    """Fill a message from a body and return the names of its fields: an update mask.

    Raises:
        Problem: 422, the body contradicts itself, or has a field that its kind of thing does not have.
    """
    refusals = Refusals()
    by_hand = (
        "metadata",
        "interval",
        "interval_unit",
        "interval_count",
        "minimum_commitment",
        "charges",
        "entitlements",
    )
    _, paths = patch(plan, body, skip=by_hand)
    if body.minimum_commitment is not UNSET:
        plan.minimum_commitment_cents = body.minimum_commitment.amount_cents if body.minimum_commitment else 0
        paths.append("minimum_commitment_cents")
    if body.metadata is not UNSET:
        plan.metadata.update(body.metadata or {})
        paths.append("metadata")
    if _say_interval(plan.interval, body, refusals):
        paths.append("interval")
    if body.charges is not UNSET:
        charges = body.charges or []
        say_charges([plan.charges.add() for _ in charges], charges, refusals)
        paths.append("charges")
    if body.entitlements is not UNSET:
        for number, entitlement in enumerate(body.entitlements or ()):
            say_plan_entitlement(plan.entitlements.add(), entitlement, f"entitlements[{number}]", refusals)
        paths.append("entitlements")
    refusals.raise_any()
    return paths


def _say_interval(interval: BillingInterval, body: PlanChange, refusals: Refusals) -> bool:
    """Whether the body has an interval: by its word, or by unit and count."""
    word, unit, count = given(body.interval), given(body.interval_unit), given(body.interval_count)
    if word is None and unit is None and count is None:
        return False
    meant = INTERVALS.get(word or _CUSTOM)
    if meant is None and unit is None:
        refusals.add("interval_unit", "value_is_mandatory", "is missing")
        return False
    known = meant or BillingInterval(count=1)
    interval.unit = known.unit if unit is None else _UNITS[unit]
    interval.count = known.count if count is None else count
    if meant is not None and interval != meant:
        refusals.add("interval_unit", "value_is_invalid", f"is another interval than {word}")
    return True


def _complete(plan: PlanMessage) -> None:
    plan.name = plan.name or plan.code


_NAMES = {
    "interval.unit": "interval",
    "interval.count": "interval_count",
    "minimum_commitment_cents": "minimum_commitment.amount_cents",
    **{f"charges[].{field}": f"charges[].{name}" for field, name in CHARGE_NAMES.items()},
    **{f"entitlements[].{field}": f"entitlements[].{name}" for field, name in ENTITLEMENT_NAMES.items()},
}
OPERATIONS = resource(
    "/plans",
    root="plan",
    plural="plans",
    creates=NewPlan,
    changes=PlanChange,
    answers=Plan,
    to_api=plan_to_api,
    from_api=plan_from_api,
    complete=_complete,
    names=_NAMES,
    create=rpc.CreatePlanRequest,
    get=rpc.GetPlanRequest,
    list=Listing(rpc.ListPlansRequest, scope=Scope.PUBLISHABLE),
    find_query=PlanVersionQuery,
    update=rpc.UpdatePlanRequest,
    delete=rpc.DeletePlanRequest,
)
