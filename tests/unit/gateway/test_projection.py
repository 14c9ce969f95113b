"""Structs and messages have the same values, field by field, and a patch names the fields that it sets."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1.decimal_pb2 import Decimal as DecimalMessage
from farebox.rating.v1.billable_metric_pb2 import BillableMetric
from farebox.rating.v1.tax_pb2 import Tax as TaxMessage
from gateway.dialects.lago.metric import Metric, MetricChange, MetricFilter, metric_to_api
from gateway.dialects.lago.tax import Tax, TaxChange
from gateway.operation import callers_field
from gateway.projection import callers_names, patch, project

METRIC = BillableMetric(
    id="m1",
    code="calls",
    name="Calls",
    aggregation=BillableMetric.AGGREGATION_SUM,
    field_name="n",
    filters=[BillableMetric.Filter(key="region", values=["eu"])],
    created_at=Timestamp(seconds=1704067200),
)


def test_a_message_becomes_a_struct() -> None:
    """Empty is null, instants are aware, enums are words, lists are lists."""
    metric = metric_to_api(METRIC)
    assert (metric.lago_id, metric.nozle_id, metric.aggregation_type) == ("m1", "m1", "sum_agg")
    assert (metric.description, metric.rounding_function) == (None, None)
    assert metric.filters == [MetricFilter(key="region", values=["eu"])]
    assert metric.created_at == datetime(2024, 1, 1, tzinfo=UTC)
    assert project(Metric, METRIC, rounding_precision=None, weighted_interval=None) == metric


def test_a_decimal_is_a_json_number_digit_by_digit() -> None:
    tax = TaxMessage(code="vat", name="VAT", rate_percent=DecimalMessage(value="7.700000000000000000001"))
    assert b'"rate":7.700000000000000000001' in msgspec.json.encode(project(Tax, tax))


def test_a_patch_changes_what_it_names_and_names_what_it_changes() -> None:
    """What is unset stays; null empties; lists are replaced whole."""
    message = BillableMetric()
    message.CopyFrom(METRIC)
    change = MetricChange(name="New", field_name=None, filters=[], aggregation_type="max")
    _, paths = patch(message, change)
    assert paths == ["name", "aggregation", "field_name", "filters"]
    assert (message.name, message.field_name, list(message.filters)) == ("New", "", [])
    assert message.aggregation == BillableMetric.AGGREGATION_MAX
    assert message.code == "calls"


def test_a_decimal_reaches_the_message_exactly() -> None:
    message, paths = patch(TaxMessage(), TaxChange(rate=Decimal("7.70")))
    assert (message.rate_percent.value, paths) == ("7.7", ["rate_percent"])


def test_a_zero_is_said() -> None:
    """A rate of 0 is not an absent rate."""
    message, _ = patch(TaxMessage(), TaxChange(rate=Decimal(0)))
    assert message.HasField("rate_percent")


def test_services_fields_get_the_callers_names() -> None:
    """What a service refuses is called as the caller wrote it, with its place in the list."""
    names = callers_names(MetricChange, BillableMetric, "billable_metric.")
    assert callers_field(names, "billable_metric.aggregation") == "aggregation_type"
    assert callers_field(names, "billable_metric.filters[3].key") == "filters[3].key"
    assert callers_field(names, "billable_metric.filters[3]") == "filters[3]"
    assert callers_field(names, "somewhere.else") == "somewhere.else"
    deep = {"plan.charges[].model.standard.unit_amount": "charges[].properties.amount"}
    assert callers_field(deep, "plan.charges[12].model.standard.unit_amount") == "charges[12].properties.amount"
