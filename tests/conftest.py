"""What all tiers share: unit and property tests do no I/O, and no test fails because the machine is busy."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is no law; by default a slow one fails, and on a busy machine each may be slow.
settings.register_profile("farebox", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("farebox")

TESTS = Path(__file__).parent
WITHOUT_IO = {"unit", "property"}


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("a unit or property test must not open sockets")


@pytest.fixture(autouse=True)
def no_sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections in the tiers that promise to do no I/O."""
    if request.path.is_relative_to(TESTS) and request.path.relative_to(TESTS).parts[0] in WITHOUT_IO:
        monkeypatch.setattr(socket.socket, "connect", _refuse)
        monkeypatch.setattr(socket.socket, "connect_ex", _refuse)
        monkeypatch.setattr(socket.socket, "bind", _refuse)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Refuse two tests of one name: of those, xdist runs only one, and nobody would miss the others."""
    twice = sorted(name for name, count in Counter(item.nodeid for item in items).items() if count > 1)
    if twice:
        raise pytest.UsageError(f"these names stand for several tests: {', '.join(twice[:5])}")
