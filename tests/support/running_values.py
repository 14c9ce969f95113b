"""Price sheets of recurring metrics whose plan changes: every aggregation, shape of charge, kind of change and timing.

Each sheet is one of `tests/scenarios` without figures; the oracle works these out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from tests.support.scenarios import Scenario, scenario_of

Body = Mapping[str, Any]

AGGREGATIONS: Mapping[str, Body] = {
    "sum": {"aggregation_type": "sum_agg", "field_name": "seats", "recurring": True},
    "distinct": {"aggregation_type": "unique_count_agg", "field_name": "name", "recurring": True},
    "weighted": {"aggregation_type": "weighted_sum_agg", "field_name": "seats", "recurring": True},
    # Starts from nothing in every period: nothing is carried, and nothing is shared.
    "plain": {"aggregation_type": "sum_agg", "field_name": "seats"},
}


def _tiers(*prices: str) -> list[Body]:
    bounds = ["4", "9", None]
    return [
        {"to_value": bound, "per_unit_amount": price, "flat_amount": flat}
        for bound, price, flat in zip(bounds, prices, ("0.7", "0", "2"), strict=True)
    ]


_RATES = [{"to_value": "6", "rate": "10", "flat_amount": "0.3"}, {"to_value": None, "rate": "5", "flat_amount": "1"}]
_REGIONS = [{"values": {"region": ["eu"]}, "properties": {"amount": "2"}, "invoice_display_name": "Europe"}]
_PLACES = [
    {"values": {"region": ["us"]}, "properties": {"amount": "3"}, "invoice_display_name": "America"},
    {"values": {"region": ["eu"]}, "properties": {"amount": "5"}, "invoice_display_name": "Europe"},
]
_STANDARD: Body = {"charge_model": "standard", "properties": {"amount": "1"}}
_ALLOWANCE = {"rate": "10", "fixed_amount": "0.25", "free_units_per_total_aggregation": "3"}
_BOUNDS = {"rate": "10", "per_transaction_min_amount": "0.4", "per_transaction_max_amount": "0.6"}

SHAPES: Mapping[str, Body] = {
    "standard": _STANDARD,
    "graduated": {"charge_model": "graduated", "properties": {"graduated_ranges": _tiers("1", "0.8", "0.5")}},
    "volume": {"charge_model": "volume", "properties": {"volume_ranges": _tiers("1", "0.8", "0.5")}},
    "package": {"charge_model": "package", "properties": {"amount": "3", "package_size": "4", "free_units": "1"}},
    "rates": {"charge_model": "graduated_percentage", "properties": {"graduated_percentage_ranges": _RATES}},
    "minimum": {**_STANDARD, "min_amount_cents": 900},
    "filtered": {**_STANDARD, "filters": _REGIONS},
    "refiltered": {**_STANDARD, "filters": _PLACES},
    "grouped": {"charge_model": "standard", "properties": {"amount": "1", "pricing_group_keys": ["region"]}},
    "tiered_groups": {
        "charge_model": "graduated",
        "properties": {"graduated_ranges": _tiers("1", "0.8", "0.5"), "pricing_group_keys": ["region"]},
    },
    "filtered_groups": {
        "charge_model": "standard",
        "properties": {"amount": "1", "pricing_group_keys": ["team"]},
        "filters": _REGIONS,
    },
}
# Of sums alone.
OF_SUMS: Mapping[str, Body] = {
    "prorated": {**_STANDARD, "prorated": True},
    "prorated_tiers": {**SHAPES["graduated"], "prorated": True},
    "prorated_filters": {**_STANDARD, "filters": _REGIONS, "prorated": True},
    "prorated_groups": {**SHAPES["grouped"], "prorated": True},
    "share": {"charge_model": "percentage", "properties": {"rate": "10", "fixed_amount": "0.25"}},
    "allowance": {"charge_model": "percentage", "properties": _ALLOWANCE},
    "bounds": {"charge_model": "percentage", "properties": _BOUNDS},
    "bounded_filters": {
        "charge_model": "percentage",
        "properties": _ALLOWANCE,
        "filters": [{"values": {"region": ["eu"]}, "properties": _BOUNDS, "invoice_display_name": "Europe"}],
    },
    "dynamic": {"charge_model": "dynamic", "properties": {}},
    "none": {},
}
# A charge that is there or is not may be in any of the shapes; these are what a plan changes from and to.
PROBES = ("standard", "filtered", "grouped")

_UP = {"at": "2024-02-12T10:00:00Z", "plan": "second", "when": "now"}
# What is done, and what the second plan is beside its charge: its price decides the direction.
CHANGES: Mapping[str, tuple[Sequence[Body], Body]] = {
    "upgrade": ([{"at": "2024-02-12T10:00:00Z", "plan": "second"}], {"amount_cents": 2000}),
    "upgrade_at_midnight": ([{"at": "2024-02-12T00:00:00Z", "plan": "second"}], {"amount_cents": 2000}),
    "upgrade_as_a_period_begins": ([{"at": "2024-02-01T00:00:00Z", "plan": "second"}], {"amount_cents": 2000}),
    "downgrade": ([{"at": "2024-02-12T10:00:00Z", "plan": "second"}], {"amount_cents": 500}),
    "downgrade_now": ([_UP], {"amount_cents": 500}),
    "to_yearly": ([_UP], {"amount_cents": 20000, "interval": "yearly", "bill_charges_monthly": True}),
    "into_trial": ([_UP], {"amount_cents": 2000, "trial_period": 50, "bill_usage_in_trial": False}),
    "version": ([{"at": "2024-02-12T10:00:00Z"}], {"amount_cents": 1200}),
    "there_and_back": ([_UP, {"at": "2024-02-20T00:00:00Z", "plan": "first", "when": "now"}], {"amount_cents": 2000}),
    "back_at_once": ([_UP, {"at": "2024-02-12T19:00:00Z", "plan": "first", "when": "now"}], {"amount_cents": 2000}),
}

# When what is used arrives; and what is taken back, after the change. Each a list of events by name.
_EARLY = [
    ("jan-a", "2024-01-05T09:00:00Z", "5", "eu", "x"),
    ("jan-b", "2024-01-20T00:00:00Z", "3", "us", "y"),
    ("feb-a", "2024-02-05T12:00:00Z", "4", "eu", "y"),
    ("feb-c", "2024-02-11T23:59:59Z", "2", "asia", "z"),
    ("gone", "2024-01-06T00:00:00Z", "6", "moon", "x"),
    ("gone-again", "2024-01-25T00:00:00Z", "-6", "moon", "x"),
]
_CHANGE_DAY = [
    ("on-the-day", "2024-02-12T08:00:00Z", "1", "us", "x"),
    ("later", "2024-02-12T18:00:00Z", "2", "eu", "x"),
]
_AFTER = [("mar-a", "2024-03-09T00:00:00Z", "-3", "eu", "x"), ("mar-b", "2024-03-10T00:00:00Z", "2", "us", "z")]
_LATE = [
    ("late-jan", "2024-01-15T00:00:00Z", "7", "eu", "x"),
    ("late-feb", "2024-02-03T00:00:00Z", "-2", "us", "y"),
    ("late-new", "2024-01-16T00:00:00Z", "1", "africa", "z"),
]
_LATE_AT = "2024-03-05T00:00:00Z"
TIMINGS: Mapping[str, tuple[Sequence[Any], Sequence[Body]]] = {
    "carried": ([_EARLY[0]], []),
    "used": ([*_EARLY, *_CHANGE_DAY, *_AFTER], []),
    "late": ([*_EARLY, *_CHANGE_DAY, *_AFTER, *_LATE], []),
    "voided": ([*_EARLY, *_CHANGE_DAY], [{"at": _LATE_AT, "void": "jan-a"}, {"at": _LATE_AT, "void": "feb-c"}]),
}


class Cell(NamedTuple):
    """One cell of the matrix."""

    aggregation: str
    before: str
    after: str
    change: str
    timing: str

    @property
    def name(self) -> str:
        """How a test is called."""
        return "-".join(self)


def cells() -> Iterator[Cell]:
    """Every shape changed into itself and from and into the probes, by every change, at every time: 15,440 of them."""
    for aggregation, before, after in _pairs():
        for change, timing in product(CHANGES, TIMINGS):
            yield Cell(aggregation, before, after, change, timing)


def sample() -> Iterator[Cell]:
    """Of the matrix every pair of shapes once, with changes and timings in turn, so that each meets every other."""
    turns = list(product(CHANGES, TIMINGS))
    for number, pair in enumerate(_pairs()):
        yield Cell(*pair, *turns[number * _STRIDE % len(turns)])


# Has no divisor in common with the number of turns, so that all of them come.
_STRIDE = 7


def _pairs() -> Iterator[tuple[str, str, str]]:
    for aggregation in AGGREGATIONS:
        shapes = (*SHAPES, *OF_SUMS) if aggregation in {"sum", "plain"} else (*SHAPES, "none")
        if aggregation == "plain":
            shapes = tuple(shape for shape in shapes if not shape.startswith("prorated"))
        pairs = {(shape, shape) for shape in shapes}
        pairs |= {(probe, shape) for probe in PROBES for shape in shapes}
        pairs |= {(shape, probe) for probe in PROBES for shape in shapes}
        for before, after in sorted(pairs):
            yield aggregation, before, after


def scenario(cell: Cell) -> Scenario:
    """The price sheet of a cell; its invoices are not given."""
    metric = {"name": "Seats", "code": "seats", **AGGREGATIONS[cell.aggregation]}
    metric["filters"] = [{"key": "region", "values": ["eu", "us"]}]
    used, voided = TIMINGS[cell.timing]
    changes, terms = CHANGES[cell.change]
    first = _plan("first", cell.before, {"amount_cents": 1000})
    second = _plan("first" if cell.change == "version" else "second", cell.after, terms)
    if cell.change == "version":
        changes = [{**change, "version": second} for change in changes]
    return scenario_of(
        {
            "name": cell.name,
            "clock": {"starts_at": "2024-01-01T00:00:00Z", "ends_at": "2024-05-01T00:00:00Z"},
            "metrics": [metric],
            "plan": first,
            "further_plans": [] if cell.change == "version" else [second],
            "subscription": {"external_id": cell.name, "billing_time": "calendar"},
            "events": [_event(cell.aggregation, *use) for use in used],
            "changes": [*changes, *voided],
            "invoices": [],
        }
    )


def _plan(code: str, shape: str, terms: Body) -> Body:
    charge = {**SHAPES, **OF_SUMS}[shape]
    charges = [{"billable_metric_id": "seats", **charge}] if charge else []
    return {
        "name": code,
        "code": code,
        "interval": "monthly",
        "amount_currency": "USD",
        "charges": charges,
        **terms,
    }


def _event(aggregation: str, name: str, at: str, value: str, region: str, team: str) -> Body:
    properties = {"seats": value, "region": region, "team": team, "name": f"{team}{value.strip('-')}"}
    if value.startswith("-") and aggregation == "distinct":
        properties["operation_type"] = "remove"
    line = {"code": "seats", "at": at, "transaction_id": name, "properties": properties}
    line["precise_total_amount_cents"] = "12.5"
    return {**line, "sent_at": _LATE_AT} if name.startswith("late-") else line


# Of units that have no end the oracle writes twenty decimals.
_LONGEST_UNITS = 20


def expected(invoices: Sequence[Body]) -> list[Body]:
    """The oracle's invoices as a price sheet gives them: without fees of nothing, and units that have an end."""
    return [
        {**invoice, "fees": [_comparable(fee) for fee in invoice["fees"] if fee["amount_cents"]]}
        for invoice in invoices
    ]


def _comparable(fee: Body) -> Body:
    has_units = fee["type"] == "charge" and len(fee["units"]) < _LONGEST_UNITS
    return fee if has_units else {name: value for name, value in fee.items() if name != "units"}
