"""The pytest plugin: a Farebox for the whole run, a fresh organization for each test.

Nothing heavy is imported before a test asks for one, so a run without such tests does not pay for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from farebox.testing.organization import Farebox
    from farebox.testing.server import FareboxServer, ServerOptions


@pytest.fixture(scope="session")
def farebox_options() -> ServerOptions:
    """What the run's Farebox should be; override this fixture in your conftest.py."""
    from farebox.testing.server import ServerOptions

    return ServerOptions()


@pytest.fixture(scope="session")
def farebox_server(
    farebox_options: ServerOptions, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FareboxServer]:
    """The run's Farebox: its stores, the four services and the gateway. Under pytest-xdist all workers share it."""
    # The id that pytest-xdist gives each of its workers.
    if hasattr(pytestconfig, "workerinput"):
        from farebox.testing.shared import shared

        # The parent is the run's own directory, the same for all workers.
        with shared(tmp_path_factory.getbasetemp().parent / "farebox", farebox_options) as server:
            yield server
        return
    from farebox.testing.server import running

    with running(farebox_options) as server:
        yield server


@pytest.fixture
def farebox(farebox_server: FareboxServer) -> Iterator[Farebox]:
    """A fresh organization in test mode on the run's Farebox."""
    with farebox_server.new_organization() as organization:
        yield organization
