"""The reference is what the operations say: generated, committed, valid."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway import openapi
from gateway.dialect import Dialect
from gateway.dialects import DIALECTS
from gateway.operation import Operation

DOCUMENT = openapi.document(DIALECTS)
TYPED = [
    pytest.param(operation, dialect, id=f"{dialect.name} {operation.method} {operation.path}")
    for dialect in DIALECTS
    for operation in dialect.operations
    if isinstance(operation, Operation)
]


def test_the_committed_file_is_what_the_operations_say() -> None:
    """`make openapi` was run after the last change of an operation."""
    assert openapi.FILE.read_text(encoding="utf-8") == openapi.text(DIALECTS)


def test_it_is_openapi() -> None:
    """Every reader of OpenAPI 3.1 understands the file."""
    assert not list(OpenAPIV31SpecValidator(yaml.safe_load(openapi.FILE.read_text(encoding="utf-8"))).iter_errors())


@pytest.mark.parametrize(("operation", "dialect"), TYPED)
def test_every_operation_is_in_it_with_all_its_statuses(operation: Any, dialect: Dialect) -> None:
    """Nothing that an operation can answer is missing, and everything has a summary."""
    described = DOCUMENT["paths"][operation.path][operation.method.lower()]
    told = {dialect.statuses.get(status, status) for status in operation.statuses}
    assert told <= {int(status) for status in described["responses"]}
    assert described["summary"]


def test_a_path_of_several_dialects_takes_the_bodies_of_each() -> None:
    """Which dialect is meant is told by the content type, and each has its own success."""
    described = DOCUMENT["paths"]["/events"]["post"]
    assert list(described["requestBody"]["content"]) == [
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    ]
    assert {"200", "204"} <= described["responses"].keys()


def test_a_dialect_at_other_paths_has_its_own_servers_and_refusals() -> None:
    """Stripe's clients know neither our base nor 422."""
    path = DOCUMENT["paths"]["/v1/billing/meter_events"]
    assert path["servers"] == [{"url": ""}]
    assert "422" not in path["post"]["responses"]
    refusal = DOCUMENT["components"]["responses"]["stripe_400"]["content"]["application/json"]["schema"]
    assert refusal == {"$ref": "#/components/schemas/StripeProblem"}


def test_a_path_has_one_name_for_each_of_its_parameters() -> None:
    """`/plans/{code}` and `/plans/{id}` are the same path, and a document that has both is none."""
    shapes = [re.sub(r"{\w+}", "{}", path) for path in DOCUMENT["paths"]]
    assert len(shapes) == len(set(shapes))


def test_amounts_and_decimals_say_their_units() -> None:
    """What `rate` and `rounding_precision` are counted in is said where they are described."""
    schemas = DOCUMENT["components"]["schemas"]
    assert "percent" in schemas["Tax"]["description"]
    assert schemas["Tax"]["properties"]["rate"]["type"] == "number"
    assert schemas["NewTax"]["properties"]["rate"]["type"] == ["string", "number"]


def test_what_is_refused_by_name_is_said() -> None:
    """The user of another system's client reads what becomes of each key before sending it."""
    described = DOCUMENT["components"]["schemas"]["NewCharge"]["description"]
    assert "`applied_pricing_unit`" in described
    assert "`invoiceable: true`" in described


def test_what_is_sent_takes_no_other_keys() -> None:
    """Bodies are closed, answers may grow."""
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["NewMetric"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["Metric"]
