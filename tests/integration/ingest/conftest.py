"""A running ingest process for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from services.chassis.config import Settings
from tests.support.ingest.process import Ingest, running


@pytest.fixture
def ingest(settings_for: Callable[[str], Settings]) -> Iterator[Ingest]:
    """A process on a fresh database."""
    with running(settings_for("ingest")) as process:
        yield process
