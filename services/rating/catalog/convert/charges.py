"""A plan's charges: messages to domain and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from farebox.rating.v1 import charge_pb2 as pb
from services.kernel.checks import Checks, inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import ChargeId, new_id
from services.kernel.money import ZERO, Currency
from services.rating.catalog.convert.charge_models import model_from_pb, model_to_pb
from services.rating.pricing.catalog import MAX_CHARGE_FILTERS, MAX_GROUP_KEYS, MAX_PLAN_CHARGES, MAX_PLAN_PRICES
from services.rating.pricing.charge_filter import ChargeFilter
from services.rating.pricing.charges import ChargeModel, Standard
from services.rating.pricing.plan import Charge, Plan
from services.rating.shared.limits import (
    MAX_AMOUNT_CENTS,
    MAX_CODE,
    MAX_NAME,
    MAX_TAX_CODES,
    require_cents,
    require_code,
    require_text,
)

# Stand-in for a price that is refused, so that the rest of the charge can be checked.
_ANY_PRICE: ChargeModel = Standard(ZERO)


def charges_from_pb(messages: Sequence[pb.Charge], priced_in: Currency, checks: Checks) -> tuple[Charge, ...]:
    """The charges of a plan, as far as they can be read; refusals are remembered in `checks`.

    Args:
        messages: the charges.
        priced_in: the plan's currency.
        checks: the plan's checks.
    """
    if len(messages) > MAX_PLAN_CHARGES:
        checks.refuse("charges", "value_is_invalid", f"are at most {MAX_PLAN_CHARGES}")
    if sum(1 + len(message.filters) for message in messages) > MAX_PLAN_PRICES:
        checks.refuse("charges", "value_is_invalid", f"have at most {MAX_PLAN_PRICES} prices with their filters")
    read = (
        checks.read(None, _charge_from_pb, message, f"charges[{number}]", priced_in)
        for number, message in enumerate(messages[:MAX_PLAN_CHARGES])
    )
    charges = tuple(charge for charge in read if charge is not None)
    checks(_require_different_codes, messages[:MAX_PLAN_CHARGES])
    return charges


def _require_different_codes(messages: Sequence[pb.Charge]) -> None:
    """Refuse a code that an earlier charge has; a charge without a code gets one later."""
    seen: set[str] = set()
    with inside() as checks:
        for number, message in enumerate(messages):
            if message.code and message.code in seen:
                checks.refuse(f"charges[{number}].code", "value_already_exist", "is the code of another charge")
            seen.add(message.code)


def _charge_from_pb(message: pb.Charge, path: str, priced_in: Currency) -> Charge:
    with inside(path, {"minimum_amount": "min_amount_cents"}) as checks:
        if message.metric_code or not message.metric_id:
            checks(require_code, "metric_code", message.metric_code)
        checks(require_text, "metric_id", message.metric_id, MAX_CODE)
        checks(require_text, "code", message.code, MAX_CODE)
        checks(require_text, "invoice_display_name", message.invoice_display_name, MAX_NAME)
        checks(require_cents, "min_amount_cents", message.min_amount_cents)
        _check_lists(message, checks)
        return Charge(
            charge_id=ChargeId(new_id()),
            metric_code=message.metric_code,
            model=checks.read(_ANY_PRICE, model_from_pb, message.model, "model"),
            filters=_filters_from_pb(message.filters, checks),
            group_by=tuple(message.group_by) or None,
            minimum_amount=priced_in.to_major(min(max(message.min_amount_cents, 0), MAX_AMOUNT_CENTS)),
            prorated=message.prorated,
            in_advance=message.pay_in_advance,
            description=message.invoice_display_name,
            code=message.code,
            tax_codes=tuple(message.tax_codes),
            metric_id=message.metric_id,
        )


def _check_lists(message: pb.Charge, checks: Checks) -> None:
    for name, most in (("filters", MAX_CHARGE_FILTERS), ("group_by", MAX_GROUP_KEYS), ("tax_codes", MAX_TAX_CODES)):
        if len(getattr(message, name)) > most:
            checks.refuse(name, "value_is_invalid", f"are at most {most}")
    for name, most in (("group_by", MAX_GROUP_KEYS), ("tax_codes", MAX_TAX_CODES)):
        codes = getattr(message, name)[:most]
        if len(set(codes)) != len(codes):
            checks.refuse(name, "value_already_exist", "name each once")
        for number, code in enumerate(codes):
            checks(require_code, f"{name}[{number}]", code)


def _filters_from_pb(messages: Sequence[pb.Charge.FilteredPrice], checks: Checks) -> tuple[ChargeFilter, ...]:
    read = (
        checks.read(None, _filter_from_pb, message, f"filters[{number}]", str(number + 1))
        for number, message in enumerate(messages[:MAX_CHARGE_FILTERS])
    )
    filters = tuple(charge_filter for charge_filter in read if charge_filter is not None)
    checks(_require_different, filters)
    return filters


def _filter_from_pb(message: pb.Charge.FilteredPrice, path: str, key: str) -> ChargeFilter:
    with inside(path) as checks:
        if not message.values:
            checks.refuse("values", "value_is_mandatory", "says which events it prices")
        checks(require_text, "invoice_display_name", message.invoice_display_name, MAX_NAME)
        model = checks.read(_ANY_PRICE, model_from_pb, message.model, "model")
        conditions = tuple((name, tuple(accepted.values)) for name, accepted in sorted(message.values.items()))
        return ChargeFilter(key, conditions or _ANY_CONDITION, model, message.invoice_display_name)


# Stand-in for the conditions of a filter that is refused because it has none.
_ANY_CONDITION = (("", ()),)


def _require_different(filters: Iterable[ChargeFilter]) -> None:
    """Refuse a filter with the same conditions as an earlier one: it would be unclear which price applies."""
    seen: dict[frozenset[tuple[str, frozenset[str]]], str] = {}
    for charge_filter in filters:
        conditions = frozenset((name, frozenset(values)) for name, values in charge_filter.conditions)
        earlier = seen.setdefault(conditions, charge_filter.key)
        if earlier != charge_filter.key:
            raise InvalidArgumentError.of_field(
                f"filters[{int(charge_filter.key) - 1}].values", "value_already_exist", "are those of another filter"
            )


def charge_to_pb(charge: Charge, plan: Plan) -> pb.Charge:
    """A charge of a plan as it is."""
    return pb.Charge(
        id=charge.charge_id,
        code=charge.code,
        metric_code=charge.metric_code,
        invoice_display_name=charge.description,
        model=model_to_pb(charge.model),
        filters=[_filter_to_pb(charge_filter, charge, plan) for charge_filter in charge.filters],
        group_by=charge.group_by or (),
        min_amount_cents=plan.currency.to_minor(charge.minimum_amount),
        pay_in_advance=charge.in_advance,
        prorated=charge.prorated,
        tax_codes=charge.tax_codes,
        metric_id=charge.metric_id,
    )


def _filter_to_pb(charge_filter: ChargeFilter, charge: Charge, plan: Plan) -> pb.Charge.FilteredPrice:
    return pb.Charge.FilteredPrice(
        values=conditions_to_pb(charge_filter),
        model=model_to_pb(charge_filter.model),
        invoice_display_name=charge_filter.description,
        id=charge_filter.id_within(plan.code, charge.code),
    )


def conditions_to_pb(charge_filter: ChargeFilter) -> dict[str, pb.Charge.PropertyValues]:
    """The conditions of a filter: values by property."""
    return {name: pb.Charge.PropertyValues(values=accepted) for name, accepted in charge_filter.conditions}
