"""Plans on the wire, in the domain and as documents: nothing is lost between them, and refusals name their field."""

from __future__ import annotations

from typing import Any

import pytest

from farebox.common.v1 import decimal_pb2
from farebox.rating.v1 import charge_pb2, plan_pb2
from services.kernel.errors import InvalidArgumentError
from services.rating.catalog.convert.plans import plan_from_pb, plan_to_pb
from services.rating.catalog.store.plan_document import plan_from_document, plan_to_document

Model = charge_pb2.ChargeModel


def number(text: str) -> decimal_pb2.Decimal:
    return decimal_pb2.Decimal(value=text)


def tier(up_to: str | None, unit_amount: str, flat_amount: str = "0") -> charge_pb2.Tier:
    limit = None if up_to is None else number(up_to)
    return charge_pb2.Tier(up_to=limit, unit_amount=number(unit_amount), flat_amount=number(flat_amount))


MODELS = {
    "standard": Model(standard=Model.Standard(unit_amount=number("0.000000000001"))),
    "graduated": Model(graduated=Model.Graduated(tiers=[tier("100", "0.1", "5"), tier(None, "0.05")])),
    "volume": Model(volume=Model.Volume(tiers=[tier("100.5", "0.1"), tier(None, "0.05")])),
    "package": Model(
        package=Model.Package(package_amount=number("5"), package_size=number("100"), free_units=number("10"))
    ),
    "percentage": Model(
        percentage=Model.Percentage(
            rate_percent=number("2.9"),
            fixed_amount=number("0.3"),
            free_event_count=3,
            free_units=number("500"),
            per_event_min_amount=number("0.1"),
            per_event_max_amount=number("100"),
        )
    ),
    "graduated_percentage": Model(
        graduated_percentage=Model.GraduatedPercentage(
            tiers=[
                charge_pb2.PercentTier(up_to=number("10"), rate_percent=number("1"), flat_amount=number("0")),
                charge_pb2.PercentTier(rate_percent=number("0.5"), flat_amount=number("2")),
            ]
        )
    ),
    "dynamic": Model(dynamic=Model.Dynamic()),
}
MONTH = plan_pb2.BillingInterval(unit=plan_pb2.BillingInterval.UNIT_MONTH, count=1)
ENTITLEMENTS = [
    plan_pb2.PlanEntitlement(feature_code="sso", kind=plan_pb2.PlanEntitlement.KIND_GATE, enabled=True),
    plan_pb2.PlanEntitlement(feature_code="region", kind=plan_pb2.PlanEntitlement.KIND_CONFIGURATION, value="eu"),
    plan_pb2.PlanEntitlement(
        feature_code="calls",
        kind=plan_pb2.PlanEntitlement.KIND_USAGE_LIMIT,
        limit=number("1000"),
        metric_code="api_call",
        hard=True,
        reset=plan_pb2.PlanEntitlement.RESET_DAY,
    ),
    plan_pb2.PlanEntitlement(
        feature_code="tokens",
        kind=plan_pb2.PlanEntitlement.KIND_USAGE_LIMIT,
        metric_code="llm_tokens",
        reset=plan_pb2.PlanEntitlement.RESET_BILLING_PERIOD,
    ),
]


def plan(**fields: Any) -> plan_pb2.Plan:
    defaults = {"code": "pro", "name": "Pro", "currency": "USD", "interval": MONTH, "amount_cents": 0}
    return plan_pb2.Plan(**{**defaults, **fields})


def charge(model: str = "standard", **fields: Any) -> charge_pb2.Charge:
    return charge_pb2.Charge(**{"code": model, "metric_code": "api_call", "model": MODELS[model], **fields})


def without_what_farebox_gives(message: plan_pb2.Plan) -> plan_pb2.Plan:
    for name in ("id", "version", "current", "created_at"):
        message.ClearField(name)
    for charge in message.charges:
        charge.ClearField("id")
        for price in charge.filters:
            price.ClearField("id")
    return message


def whole_plan() -> plan_pb2.Plan:
    """A plan that uses every field."""
    filtered = charge_pb2.Charge.FilteredPrice(
        values={"model": charge_pb2.Charge.PropertyValues(values=["gpt-4o", "haiku"])},
        model=MODELS["package"],
        invoice_display_name="Small models",
    )
    return plan(
        description="For teams",
        amount_cents=9900,
        pay_in_advance=True,
        bill_charges_monthly=True,
        interval=plan_pb2.BillingInterval(unit=plan_pb2.BillingInterval.UNIT_YEAR, count=1),
        trial_days=14,
        minimum_commitment_cents=12000,
        charges=[
            *(charge(name) for name in MODELS),
            charge(
                code="filtered",
                invoice_display_name="Calls",
                filters=[filtered],
                group_by=["region"],
                min_amount_cents=100,
                tax_codes=["reduced"],
                metric_id="0190c0de-0000-7000-8000-000000000001",
            ),
        ],
        entitlements=ENTITLEMENTS,
        tax_codes=["vat"],
        bill_usage_in_trial=False,
        net_payment_term_days=30,
    )


def test_wire_to_domain_to_wire_is_identity() -> None:
    assert without_what_farebox_gives(plan_to_pb(plan_from_pb(whole_plan()))) == whole_plan()


def test_domain_to_document_to_domain_is_identity() -> None:
    """What an invoice is rebuilt from years later is what was sold."""
    sold = plan_from_pb(whole_plan()).plan
    assert plan_from_document(sold.code, sold.version, sold.currency.code, plan_to_document(sold)) == sold


@pytest.mark.parametrize("code", ["JPY", "KWD"])
def test_amounts_keep_their_minor_units(code: str) -> None:
    """100 minor units are 100 yen, and 0.100 dinars."""
    again = plan_to_pb(plan_from_pb(plan(currency=code, amount_cents=100, minimum_commitment_cents=7)))
    assert (again.amount_cents, again.minimum_commitment_cents) == (100, 7)


def test_usage_in_a_trial_is_billed_unless_said_otherwise() -> None:
    assert plan_from_pb(plan()).bill_usage_in_trial


def test_nothing_free_is_no_allowance() -> None:
    """Peers send 0 for it."""
    model = Model.Percentage(rate_percent=number("1"), free_event_count=0, free_units=number("0"))
    made = plan_from_pb(plan(charges=[charge_with(Model(percentage=model))]))
    assert not plan_to_pb(made).charges[0].model.percentage.HasField("free_event_count")


def charge_with(model: charge_pb2.ChargeModel) -> charge_pb2.Charge:
    return charge_pb2.Charge(code="c", metric_code="api_call", model=model)


UNORDERED = Model(graduated=Model.Graduated(tiers=[tier("10", "1"), tier("5", "1"), tier(None, "1")]))
BAD_NUMBER = Model(graduated=Model.Graduated(tiers=[tier("ten", "1"), tier(None, "1")]))
NEGATIVE = Model(standard=Model.Standard(unit_amount=number("-1")))
HUGE = Model(standard=Model.Standard(unit_amount=number("1e1000000")))
LEAST_ABOVE_MOST = Model(
    percentage=Model.Percentage(
        rate_percent=number("1"), per_event_min_amount=number("2"), per_event_max_amount=number("1")
    )
)
ABSURD = Model(standard=Model.Standard(unit_amount=number("1000000000001")))


def filtered(value: str) -> charge_pb2.Charge.FilteredPrice:
    """A price for one value of a property."""
    return charge_pb2.Charge.FilteredPrice(
        values={"model": charge_pb2.Charge.PropertyValues(values=[value])}, model=MODELS["standard"]
    )


FILTERED = filtered("gpt-4o")
MANY_FILTERS = [filtered(str(number)) for number in range(100)]
NO_CONDITION = charge_pb2.Charge.FilteredPrice(model=MODELS["standard"])


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"code": ""}, "plan.code", "value_is_mandatory"),
        ({"code": "x" * 256}, "plan.code", "value_is_too_long"),
        ({"name": ""}, "plan.name", "value_is_mandatory"),
        ({"currency": "EURO"}, "plan.currency", "value_is_invalid"),
        ({"interval": None}, "plan.interval.unit", "value_is_mandatory"),
        (
            {"interval": plan_pb2.BillingInterval(unit=plan_pb2.BillingInterval.UNIT_DAY, count=367)},
            "plan.interval.count",
            "value_is_invalid",
        ),
        ({"amount_cents": None}, "plan.amount_cents", "value_is_mandatory"),
        ({"amount_cents": 10**12 + 1}, "plan.amount_cents", "value_is_out_of_range"),
        ({"net_payment_term_days": 366}, "plan.net_payment_term_days", "value_is_invalid"),
        ({"description": "x" * 600_000}, "plan", "value_is_too_long"),
        ({"charges": [charge(filters=[FILTERED] * 2)]}, "plan.charges[0].filters[1].values", "value_already_exist"),
        (
            {"charges": [charge(code=str(n), filters=MANY_FILTERS) for n in range(11)]},
            "plan.charges",
            "value_is_invalid",
        ),
        ({"charges": [charge(filters=MANY_FILTERS * 2)]}, "plan.charges[0].filters", "value_is_invalid"),
        ({"charges": [charge(group_by=list("abcdef"))]}, "plan.charges[0].group_by", "value_is_invalid"),
        ({"charges": [charge(group_by=["a", "a"])]}, "plan.charges[0].group_by", "value_already_exist"),
        ({"charges": [charge_with(ABSURD)]}, "plan.charges[0].model.standard.unit_amount", "value_is_out_of_range"),
        ({"amount_cents": -1}, "plan.amount_cents", "value_is_out_of_range"),
        ({"trial_days": 10_000}, "plan.trial_days", "value_is_out_of_range"),
        ({"charges": [charge(code=str(n)) for n in range(101)]}, "plan.charges", "value_is_invalid"),
        ({"charges": [charge(), charge()]}, "plan.charges[1].code", "value_already_exist"),
        ({"charges": [charge_pb2.Charge(metric_code="a")]}, "plan.charges[0].model", "value_is_mandatory"),
        ({"charges": [charge(metric_code="")]}, "plan.charges[0].metric_code", "value_is_mandatory"),
        (
            {"charges": [charge("dynamic"), charge_with(UNORDERED)]},
            "plan.charges[1].model.graduated.tiers[1].up_to",
            "value_is_out_of_range",
        ),
        (
            {"charges": [charge_with(BAD_NUMBER)]},
            "plan.charges[0].model.graduated.tiers[0].up_to",
            "invalid_number",
        ),
        ({"charges": [charge_with(NEGATIVE)]}, "plan.charges[0].model.standard.unit_amount", "value_is_out_of_range"),
        ({"charges": [charge_with(HUGE)]}, "plan.charges[0].model.standard.unit_amount", "invalid_number"),
        (
            {"charges": [charge_with(LEAST_ABOVE_MOST)]},
            "plan.charges[0].model.percentage.per_event_min_amount",
            "value_is_out_of_range",
        ),
        ({"charges": [charge(filters=[NO_CONDITION])]}, "plan.charges[0].filters[0].values", "value_is_mandatory"),
        ({"charges": [charge(min_amount_cents=-1)]}, "plan.charges[0].min_amount_cents", "value_is_out_of_range"),
        (
            {"charges": [charge(min_amount_cents=1, pay_in_advance=True)]},
            "plan.charges[0].min_amount_cents",
            "value_is_invalid",
        ),
        ({"entitlements": [ENTITLEMENTS[0]] * 2}, "plan.entitlements", "value_already_exist"),
        (
            {"entitlements": [plan_pb2.PlanEntitlement(feature_code="x")]},
            "plan.entitlements[0].kind",
            "value_is_mandatory",
        ),
    ],
)
def test_refusals_name_the_field(fields: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        plan_from_pb(plan(**fields))
    assert [(violation.field, violation.reason) for violation in refused.value.violations] == [(field, reason)]


def test_every_wrong_field_is_named_at_once() -> None:
    """A caller that sends a plan with five mistakes is told all five, wherever they are."""
    wrong = plan(
        code="",
        currency="EURO",
        amount_cents=-1,
        charges=[charge(metric_code=""), charge("volume"), charge_with(BAD_NUMBER)],
        entitlements=[plan_pb2.PlanEntitlement(feature_code="x")],
    )
    with pytest.raises(InvalidArgumentError) as refused:
        plan_from_pb(wrong)
    assert [violation.field for violation in refused.value.violations] == [
        "plan.code",
        "plan.currency",
        "plan.amount_cents",
        "plan.charges[0].metric_code",
        "plan.charges[2].model.graduated.tiers[0].up_to",
        "plan.entitlements[0].kind",
    ]


def test_filters_are_the_same_in_any_order_of_their_values() -> None:
    """Which price holds must not depend on the order in which people write."""
    one, other = filtered("a"), filtered("b")
    one.values["model"].values.append("b")
    other.values["model"].values.append("a")
    with pytest.raises(InvalidArgumentError) as refused:
        plan_from_pb(plan(charges=[charge(filters=[one, other])]))
    assert [violation.field for violation in refused.value.violations] == ["plan.charges[0].filters[1].values"]


def test_a_charge_may_name_its_metric_by_id() -> None:
    """The command finds the code."""
    made = plan_from_pb(plan(charges=[charge(metric_code="", metric_id="0190c0de-0000-7000-8000-000000000001")]))
    assert (made.plan.charges[0].metric_code, made.plan.charges[0].metric_id[:8]) == ("", "0190c0de")
