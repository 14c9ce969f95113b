"""Making a story that differs as small as it can be, so that a person can redo it by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

Body = dict[str, Any]
# What a sheet is about must stay; everything else is left out where the story still differs without it.
LISTS = ("sell", "events", "changes", "coupons", "taxes", "further_plans", "charges", "filters", "tax_codes")
OPTIONAL = (
    "applied_to_organization",
    "applies_to",
    "bill_charges_monthly",
    "billing_configuration",
    "bill_usage_in_trial",
    "by",
    "credit",
    "ending_at",
    "filters",
    "fixed_amount",
    "free_units",
    "free_units_per_events",
    "free_units_per_total_aggregation",
    "invoice_grace_period_days",
    "late_events",
    "min_amount_cents",
    "minimum_commitment",
    "operation_type",
    "pay_in_advance",
    "per_transaction_max_amount",
    "per_transaction_min_amount",
    "precise_total_amount_cents",
    "pricing_group_keys",
    "prorated",
    "region",
    "rounding_function",
    "rounding_precision",
    "subscription_at",
    "tax_codes",
    "team",
    "tier",
    "timezone",
    "trial_period",
    "when",
)
# Simpler values for what cannot be left out.
SIMPLER = {"amount_cents": 0, "billing_time": "calendar", "value": 1}
_RANGES = "_ranges"


def smallest(sheet: Body, is_different: Callable[[Body], bool]) -> Body:
    """The sheet without anything that it differs without as well."""
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for edited in _edits(sheet):
            if is_different(edited):
                sheet, is_smaller = edited, True
                break
    return sheet


def _edits(sheet: Body) -> Iterator[Body]:
    """The sheet with one thing less, those that leave out most first."""
    for path, value in _places(sheet):
        name = path[-1]
        if name in LISTS and len(value) > 1:
            for half in (slice(0, len(value) // 2), slice(len(value) // 2, None)):
                yield _with(sheet, path, value[half])
    for path, value in _places(sheet):
        name = path[-1]
        if name in LISTS:
            for number in range(len(value)):
                yield _with(sheet, path, [*value[:number], *value[number + 1 :]])
        elif isinstance(name, str) and name.endswith(_RANGES) and len(value) > 1:
            yield _with(sheet, path, [*value[:-2], {**value[-2], "to_value": None}])
        if name in OPTIONAL:
            yield _without(sheet, path)
        elif name in SIMPLER and value != SIMPLER[name]:
            yield _with(sheet, path, SIMPLER[name])
    yield from _less_sold(sheet)


def _less_sold(sheet: Body) -> Iterator[Body]:
    """The sheet with one metric less, and what is of it; and with an end after its last step."""
    for metric in sheet["metrics"][:-1]:
        code = metric["code"]
        edited = deepcopy(sheet)
        edited["metrics"] = [other for other in edited["metrics"] if other["code"] != code]
        edited["events"] = [event for event in edited["events"] if event["code"] != code]
        versions = [change["version"] for change in edited["changes"] if "version" in change]
        for plan in (edited["plan"], *edited["further_plans"], *versions):
            plan["charges"] = [charge for charge in plan["charges"] if charge["billable_metric_id"] != code]
        yield edited


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value within a body, with its place."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _places(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _places(inner, (*path, number))


def _with(sheet: Body, path: tuple[Any, ...], value: Any) -> Body:
    edited = deepcopy(sheet)
    holder: Any = edited
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return edited


def _without(sheet: Body, path: tuple[Any, ...]) -> Body:
    edited = deepcopy(sheet)
    holder: Any = edited
    for name in path[:-1]:
        holder = holder[name]
    del holder[path[-1]]
    return edited
