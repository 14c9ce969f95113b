"""Farebox, started once for all end-to-end tests: every service twice, one gateway."""

from __future__ import annotations

import pytest
from lago_python_client.client import Client
from nozle import Nozle

from farebox.testing import Farebox, Rest, ServerOptions
from tests.support.patience import PATIENCE_SECONDS

REPLICAS = 2
# A change is waited for as long as a test waits for anything, since these machines may be busy.
ENVIRONMENT = {"FRESHNESS_SECONDS": str(PATIENCE_SECONDS)}


@pytest.fixture(scope="session")
def farebox_options() -> ServerOptions:
    """What `farebox_server` is: replicas, so that nothing relies on being the only process of its service."""
    return ServerOptions(replicas=REPLICAS, env=ENVIRONMENT)


@pytest.fixture
def rest(farebox: Farebox) -> Rest:
    """The REST interface with the secret key of the test's organization."""
    return farebox.rest


@pytest.fixture
def lago(farebox: Farebox) -> Client:
    """Lago's own client."""
    return Client(api_key=farebox.secret_key, api_url=farebox.url)


@pytest.fixture
def nozle(farebox: Farebox) -> Nozle:
    """Nozle's own SDK."""
    return Nozle(api_key=farebox.secret_key, host=farebox.url)
