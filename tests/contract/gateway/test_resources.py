"""The five operations of a resource, whatever it is: metrics, taxes, features, plans, coupons."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from farebox.common.v1.decimal_pb2 import Decimal
from farebox.common.v1.page_pb2 import PageResponse
from farebox.entitlements.v1 import feature_service_pb2
from farebox.entitlements.v1.feature_pb2 import Feature
from farebox.rating.v1 import catalog_service_pb2
from farebox.rating.v1.add_on_pb2 import AddOn
from farebox.rating.v1.billable_metric_pb2 import BillableMetric
from farebox.rating.v1.coupon_pb2 import Coupon
from farebox.rating.v1.plan_pb2 import Plan
from farebox.rating.v1.tax_pb2 import Tax
from services.kernel import errors
from services.kernel.errors import FieldViolation
from tests.support.gateway import Gateway, identity, new_gateway

METRIC = BillableMetric(id="m1", code="a", name="A", aggregation=BillableMetric.AGGREGATION_COUNT)
TAX = Tax(id="t1", code="a", name="A", rate_percent=Decimal(value="20"))
FEATURE = Feature(id="f1", code="a", name="A", type=Feature.TYPE_GATE)
PLAN = Plan(id="p1", code="a", name="A", amount_cents=0, currency="USD")
COUPON = Coupon(id="c1", code="a", name="A", rate_percent=Decimal(value="10"))
ADD_ON = AddOn(id="a1", code="a", name="A", amount_cents=100, currency="USD")
NEW_PLAN = {"code": "a", "interval": "monthly", "amount_cents": 0, "amount_currency": "USD"}
# path, root, the message, a body that makes one, the method that makes one.
RESOURCES: list[Any] = [
    (
        "billable_metrics",
        "billable_metric",
        METRIC,
        {"code": "a", "aggregation_type": "count_agg"},
        "CreateBillableMetric",
    ),
    ("taxes", "tax", TAX, {"code": "a", "rate": 20}, "CreateTax"),
    ("add_ons", "add_on", ADD_ON, {"code": "a", "amount_cents": 100, "amount_currency": "USD"}, "CreateAddOn"),
    ("features", "feature", FEATURE, {"code": "a"}, "CreateFeature"),
    ("plans", "plan", PLAN, NEW_PLAN, "CreatePlan"),
    ("coupons", "coupon", COUPON, {"code": "a"}, "CreateCoupon"),
]
each = pytest.mark.parametrize(
    ("path", "root", "thing", "body", "create"), RESOURCES, ids=[resource[0] for resource in RESOURCES]
)


def answer(thing: Message, method: str, **fields: Any) -> Message:
    """The answer of a method that holds one thing."""
    service = feature_service_pb2 if isinstance(thing, Feature) else catalog_service_pb2
    field = next(resource[1] for resource in RESOURCES if type(resource[2]) is type(thing))
    response: Message = getattr(service, f"{method}Response")(**({field: thing} | fields))
    return response


def serving(thing: Message, *methods: str) -> Gateway:
    gateway = new_gateway()
    for method in methods:
        gateway.services.on(method, answer(thing, method))
    return gateway


@each
def test_one_is_made(path: str, root: str, thing: Any, body: Any, create: str) -> None:
    """A body becomes a message with an identity; its name is its code unless it has one."""
    gateway = serving(thing, create)
    response = gateway.post(f"/api/v1/{path}", json={root: body}, headers={"Idempotency-Key": "k"})
    assert (response.status_code, response.json()[root]["code"]) == (200, "a")
    (request,) = gateway.services.requests(create)
    made = getattr(request, root)
    assert (request.request_id, made.code, made.name) == (identity(f"/{path}", "k"), "a", "a")


@each
def test_nothing_is_made_of_a_body_that_is_not_understood(
    path: str, root: str, thing: Any, body: Any, create: str
) -> None:
    """Every unknown key is refused by its name, beside every missing one, before a service is asked."""
    gateway = serving(thing, create)
    response = gateway.post(f"/api/v1/{path}", json={root: {"colour": "red", "lago_id": "x"}})
    assert response.status_code == 422
    missing = {name: ["value_is_mandatory"] for name in body}
    unknown = {"colour": ["unknown_field"], "lago_id": ["unknown_field"]}
    assert response.json()["error_details"] == unknown | missing
    assert not gateway.services.requests(create)


@each
def test_one_is_found(path: str, root: str, thing: Any, body: Any, create: str) -> None:
    gateway = serving(thing, create.replace("Create", "Get"))
    assert gateway.get(f"/api/v1/{path}/a%2Fb").json()[root]["lago_id"] == thing.id
    assert gateway.services.requests(create.replace("Create", "Get"))[0].code == "a/b"


@pytest.mark.parametrize("path", [resource[0] for resource in RESOURCES])
@pytest.mark.parametrize("query", ["?colour=red", "?page=0", "?per_page=1001", "?page=1&page=2", "?page=x", "?a=%ff"])
def test_a_list_takes_only_what_it_knows(query: str, path: str) -> None:
    """If unknown filters were ignored, a caller who asked for a part would get the whole list."""
    assert new_gateway().get(f"/api/v1/{path}{query}").status_code in {400, 422}


@pytest.mark.parametrize(
    ("path", "method", "fields"),
    [
        ("billable_metrics", "ListBillableMetrics", {"billable_metrics": [METRIC]}),
        ("taxes", "ListTaxes", {"taxes": [TAX]}),
        ("features", "ListFeatures", {"features": [FEATURE]}),
        ("plans", "ListPlans", {"plans": [PLAN]}),
        ("coupons", "ListCoupons", {"coupons": [COUPON]}),
    ],
)
def test_a_list_is_a_page_with_its_place(path: str, method: str, fields: Any) -> None:
    gateway, service = new_gateway(), feature_service_pb2 if path == "features" else catalog_service_pb2
    gateway.services.on(method, getattr(service, f"{method}Response")(**fields, page=PageResponse(total_size=41)))
    listed = gateway.get(f"/api/v1/{path}?page=5&per_page=10").json()
    assert [entry["code"] for entry in listed[path]] == ["a"]
    assert listed["meta"] == {
        "current_page": 5,
        "next_page": None,
        "prev_page": 4,
        "total_pages": 5,
        "total_count": 41,
    }
    assert gateway.services.requests(method)[0].page.skip == 40


@pytest.mark.parametrize(("path", "root", "thing", "create"), [(*resource[:3], resource[4]) for resource in RESOURCES])
def test_a_change_is_one_call_with_the_names_of_what_changes(path: str, root: str, thing: Any, create: str) -> None:
    """The service applies it under its lock, so that two callers who change different fields both get their way."""
    update = create.replace("Create", "Update")
    gateway = serving(thing, update)
    assert gateway.send("PUT", f"/api/v1/{path}/a", json={root: {"name": "B", "code": "a"}}).status_code == 200
    (request,) = [asked.request for asked in gateway.services.asked if asked.method != "AuthenticateApiKey"]
    assert (request.code, list(request.update_mask.paths), getattr(request, root).name) == ("a", ["name"], "B")


@pytest.mark.parametrize(("path", "root", "thing", "create"), [(*resource[:3], resource[4]) for resource in RESOURCES])
def test_another_code_in_the_body_renames_and_never_touches_the_other(
    path: str, root: str, thing: Any, create: str
) -> None:
    """`PUT /taxes/a` with `code: b` is about a."""
    update = create.replace("Create", "Update")
    gateway = serving(thing, update)
    gateway.send("PUT", f"/api/v1/{path}/a", json={root: {"code": "b"}})
    (request,) = gateway.services.requests(update)
    assert (request.code, list(request.update_mask.paths)) == ("a", ["code"])


@each
def test_one_is_removed(path: str, root: str, thing: Any, body: Any, create: str) -> None:
    delete = create.replace("Create", "Delete")
    gateway = serving(thing, delete)
    assert gateway.send("DELETE", f"/api/v1/{path}/a").json()[root]["code"] == "a"
    (request,) = gateway.services.requests(delete)
    assert request.code == "a"
    assert len(request.request_id) == 36


def test_a_service_names_fields_and_callers_hear_their_own_names() -> None:
    gateway = new_gateway()
    violation = FieldViolation("billable_metric.filters[1].values", "too_many", "over 100")
    error = errors.InvalidArgumentError("FIELD_INVALID", "bad", violations=[violation])
    gateway.services.on("CreateBillableMetric", error)
    body = {"billable_metric": {"code": "a", "aggregation_type": "sum", "filters": [{"key": "k", "values": ["v"]}]}}
    response = gateway.post("/api/v1/billable_metrics", json=body)
    assert response.json()["error_details"] == {"filters[1].values": ["too_many"]}


def test_a_feature_is_what_its_fields_make_it() -> None:
    """Without a type it is a usage limit if it names a metric, else a gate; both names of a metric mean the same."""
    gateway = serving(FEATURE, "CreateFeature")
    for body in ({"code": "a", "metric_code": "m"}, {"code": "a", "billable_metric_code": "m"}, {"code": "a"}):
        assert gateway.post("/api/v1/features", json={"feature": body}).is_success
    types = [request.feature.type for request in gateway.services.requests("CreateFeature")]
    assert types == [Feature.TYPE_USAGE_LIMIT, Feature.TYPE_USAGE_LIMIT, Feature.TYPE_GATE]
    body = {"code": "a", "metric_code": "m", "billable_metric_code": "n"}
    assert gateway.post("/api/v1/features", json={"feature": body}).status_code == 422
    body = {"code": "a", "privileges": [{"code": "max"}]}
    refused = gateway.post("/api/v1/features", json={"feature": body})
    assert refused.json()["error_details"] == {"privileges": ["not_available"]}
