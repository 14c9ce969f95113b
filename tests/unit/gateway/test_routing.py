"""Routes are found by the raw path."""

from __future__ import annotations

import re

import pytest

from gateway.auth.scopes import Scope
from gateway.dialects.nozle.dialect import BASES, NOZLE
from gateway.operation import Endpoint, NotOffered
from gateway.problem import Problem
from gateway.routing import RouteTable


def route(method: str, path: str) -> Endpoint:
    """An endpoint of which nothing but its method and path counts."""
    return NotOffered(method, path, "a test")


def test_an_id_may_hold_any_character_percent_encoded() -> None:
    routes = RouteTable(["/api/v1"], [route("GET", "/customers/{id}/usage")])
    _, parameters = routes.find("GET", "/api/v1/customers/ent%2F1%20a%25/usage")
    assert parameters == {"id": "ent/1 a%"}


def test_a_fixed_word_wins_over_a_parameter() -> None:
    """`/subscriptions/options` is not the subscription called options."""
    fixed, free = route("GET", "/subscriptions/options"), route("GET", "/subscriptions/{id}")
    routes = RouteTable([""], [free, fixed])
    assert routes.find("GET", "/subscriptions/options")[0] is fixed
    assert routes.find("GET", "/subscriptions/sub_1")[0] is free


def test_a_word_that_leads_nowhere_leaves_the_path_to_the_parameter() -> None:
    deep, free = route("GET", "/a/b/c"), route("GET", "/a/{id}")
    routes = RouteTable([""], [deep, free])
    found, parameters = routes.find("GET", "/a/b")
    assert found is free
    assert parameters == {"id": "b"}


def test_an_unknown_path_is_404_and_a_wrong_method_405_with_the_right_ones() -> None:
    routes = RouteTable([""], [route("GET", "/plans"), route("POST", "/plans")])
    with pytest.raises(Problem) as unknown:
        routes.find("GET", "/plan")
    assert unknown.value.status == 404
    with pytest.raises(Problem) as wrong:
        routes.find("DELETE", "/plans")
    assert wrong.value.status == 405
    assert wrong.value.headers == {"Allow": "GET, POST"}


def test_an_empty_segment_is_no_id() -> None:
    routes = RouteTable([""], [route("GET", "/plans/{code}/versions")])
    with pytest.raises(Problem):
        routes.find("GET", "/plans//versions")


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("operation", NOZLE.operations, ids=lambda operation: f"{operation.method} {operation.path}")
def test_every_operation_is_reached_under_every_base(base: str, operation: Endpoint) -> None:
    """No operation shadows, or is shadowed by, another."""
    table = RouteTable(NOZLE.bases, NOZLE.operations)
    assert table.find(operation.method, base + operation.path)[0] is SERVED[operation.method, shape(operation.path)]


def shape(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


SERVED = {(operation.method, shape(operation.path)): operation for operation in reversed(NOZLE.operations)}


def test_only_plans_are_open_to_publishable_keys() -> None:
    open_ones = [
        (operation.method, operation.path) for operation in NOZLE.operations if operation.scope is Scope.PUBLISHABLE
    ]
    assert open_ones == [("GET", "/plans")]
    assert not [operation for operation in NOZLE.operations if operation.scope is Scope.NONE]


@pytest.mark.parametrize("path", ["/plans/%ff", "/plans/a%00b"])
def test_a_path_that_no_service_could_keep_is_refused(path: str) -> None:
    table = RouteTable([""], [route("GET", "/plans/{code}")])
    with pytest.raises(Problem) as problem:
        table.find("GET", path)
    assert problem.value.status == 400
