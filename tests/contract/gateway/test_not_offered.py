"""What other systems offer and Farebox does not is 501 with its reason."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.dialects import DIALECTS
from gateway.operation import NotOffered
from tests.support.gateway import Gateway, new_gateway

ABSENT = [
    pytest.param(dialect.bases[0], route, id=f"{route.method} {route.path}")
    for dialect in DIALECTS
    for route in dialect.operations
    if isinstance(route, NotOffered)
]


@pytest.fixture(scope="module")
def gateway() -> Gateway:
    return new_gateway()


@pytest.mark.parametrize(("base", "route"), ABSENT)
def test_a_route_that_is_not_offered_says_why(gateway: Gateway, base: str, route: Any) -> None:
    """A 404 would look like a typo, and whoever calls learns what to do instead."""
    path = re.sub(r"{\w+}", "x", route.path)
    answer = gateway.send(route.method, base + path, content=b"{not read")
    assert answer.status_code == 501
    assert "not_implemented" in answer.text
    assert route.reason in answer.text
    assert len(route.reason.split()) > 3


def test_nothing_is_declared_twice() -> None:
    """A route that is offered is taken off the list of those that are not."""
    declared = [
        (dialect.name, operation.method, operation.path) for dialect in DIALECTS for operation in dialect.operations
    ]
    assert len(declared) == len(set(declared))
