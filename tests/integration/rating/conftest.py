"""Rating on a fresh database for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from services.chassis.config import Settings
from tests.support.rating.server import Rating, Tenant, running_rating


@pytest.fixture
def rating(settings_for: Callable[[str], Settings]) -> Iterator[Rating]:
    """A running rating."""
    with running_rating(settings_for("rating")) as running:
        yield running


@pytest.fixture
def tenant(rating: Rating) -> Tenant:
    """An organization in test mode."""
    return rating.tenant()
