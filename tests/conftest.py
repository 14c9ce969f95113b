"""What all tiers share: unit and property tests do no I/O, and a test that opens a socket there fails."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest

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
