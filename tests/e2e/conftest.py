"""The whole suite, started once for all end-to-end tests: every service twice, one gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from examples.story.operator import Tenant, create_tenant
from examples.story.rest import Rest
from services.chassis.provision import SERVICES
from services.local.stack import Stack

REPLICAS = 2


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A running suite on free ports."""
    with Stack.temporary(replicas=dict.fromkeys(SERVICES, REPLICAS)) as running:
        yield running


@pytest.fixture
def tenant_of(stack: Stack) -> Callable[..., Tenant]:
    """Makes a fresh test-mode organization with its keys; fields of the organization by name."""

    def make(**settings: Any) -> Tenant:
        return create_tenant(stack.address("rating"), "Test", **settings)

    return make


@pytest.fixture
def tenant(tenant_of: Callable[..., Tenant]) -> Tenant:
    """A fresh test-mode organization with its keys."""
    return tenant_of()


@pytest.fixture
def rest(stack: Stack, tenant: Tenant) -> Iterator[Rest]:
    """The REST interface with the tenant's secret key."""
    with Rest(stack.http_url, tenant.secret_key) as client:
        yield client
