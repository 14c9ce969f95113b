"""Rating on a fresh database for each test; accounts, each an organization of its own, share one a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from services.chassis.config import Settings
from services.chassis.db import Database
from tests.support.accounts.commands import CommandsAccount
from tests.support.rating.billing import Billing, MemoryLog, running_billing
from tests.support.rating.server import Rating, Tenant, running_rating
from tests.support.servers import Templates, settings_of

# Accounts are played by rating's commands alone, which publish nothing.
_NO_NATS = "nats://127.0.0.1:1"


@pytest.fixture
def rating(settings_for: Callable[[str], Settings]) -> Iterator[Rating]:
    """A running rating."""
    with running_rating(settings_for("rating")) as running:
        yield running


@pytest.fixture
def tenant(rating: Rating) -> Tenant:
    """An organization in test mode."""
    return rating.tenant()


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    """A seller with one plan, to which a customer has subscribed in January 2024."""
    with running_billing(settings_for("rating")) as running:
        running.clock(datetime(2024, 1, 1, tzinfo=UTC))
        running.tenant.plan()
        running.subscribe()
        yield running


@pytest.fixture(scope="module")
def new_account(templates: Templates) -> Iterator[Callable[[], CommandsAccount]]:
    """Makes accounts that are played by rating's commands."""
    url = templates.clone("rating")
    database, log = Database(settings_of(url, _NO_NATS)), MemoryLog()
    yield lambda: CommandsAccount(database, log)
    database.dispose()
    templates.drop(url)
