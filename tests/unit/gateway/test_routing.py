"""Routes are found by the raw path."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.nozle.not_implemented import NOT_IMPLEMENTED, refuse
from gateway.dialects.nozle.routes import BASES, IMPLEMENTED, table
from gateway.errors import Problem
from gateway.routing import Route, RouteTable


async def answer(_: Any) -> Any:
    return {}


def test_an_id_may_hold_any_character_percent_encoded() -> None:
    routes = RouteTable(["/api/v1"], [Route("GET", "/customers/{id}/usage", answer)])
    _, parameters = routes.find("GET", "/api/v1/customers/ent%2F1%20a%25/usage")
    assert parameters == {"id": "ent/1 a%"}


def test_a_fixed_word_wins_over_a_parameter() -> None:
    """`/subscriptions/options` is not the subscription called options."""
    fixed, free = Route("GET", "/subscriptions/options", answer), Route("GET", "/subscriptions/{id}", answer)
    routes = RouteTable([""], [free, fixed])
    assert routes.find("GET", "/subscriptions/options")[0] is fixed
    assert routes.find("GET", "/subscriptions/sub_1")[0] is free


def test_a_word_that_leads_nowhere_leaves_the_path_to_the_parameter() -> None:
    deep, free = Route("GET", "/a/b/c", answer), Route("GET", "/a/{id}", answer)
    routes = RouteTable([""], [deep, free])
    route, parameters = routes.find("GET", "/a/b")
    assert route is free
    assert parameters == {"id": "b"}


def test_an_unknown_path_is_404_and_a_wrong_method_405_with_the_right_ones() -> None:
    routes = RouteTable([""], [Route("GET", "/plans", answer), Route("POST", "/plans", answer)])
    with pytest.raises(Problem) as unknown:
        routes.find("GET", "/plan")
    assert unknown.value.status == 404
    with pytest.raises(Problem) as wrong:
        routes.find("DELETE", "/plans")
    assert wrong.value.status == 405
    assert wrong.value.headers == {"Allow": "GET, POST"}


def test_an_empty_segment_is_no_id() -> None:
    routes = RouteTable([""], [Route("GET", "/plans/{code}/versions", answer)])
    with pytest.raises(Problem):
        routes.find("GET", "/plans//versions")


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("route", IMPLEMENTED, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_of_the_table_is_reached_under_every_base(base: str, route: Route) -> None:
    found, _ = table().find(route.method, base + route.path)
    assert found.handler is route.handler


@pytest.mark.parametrize("route", NOT_IMPLEMENTED, ids=lambda route: f"{route.method} {route.path}")
def test_what_is_not_implemented_says_so(route: Route) -> None:
    """No line of the list shadows, or is shadowed by, something that works."""
    found, _ = table().find(route.method, f"/api/v1{route.path}")
    assert found.handler is refuse


def test_only_plans_are_open_to_publishable_keys() -> None:
    assert [(route.method, route.path) for route in IMPLEMENTED if route.publishable] == [("GET", "/plans")]
