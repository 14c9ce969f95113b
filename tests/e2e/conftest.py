"""Farebox, started once for all end-to-end tests: every service twice, one gateway."""

from __future__ import annotations

import pytest

from farebox.testing import Farebox, Rest, ServerOptions

REPLICAS = 2


@pytest.fixture(scope="session")
def farebox_options() -> ServerOptions:
    """What `farebox_server` is: replicas, so that nothing relies on being the only process of its service."""
    return ServerOptions(replicas=REPLICAS)


@pytest.fixture
def rest(farebox: Farebox) -> Rest:
    """The REST interface with the secret key of the test's organization."""
    return farebox.rest
