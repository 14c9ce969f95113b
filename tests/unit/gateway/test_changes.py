"""The gateway remembers what an organization has changed last, for a while and for so many organizations."""

from __future__ import annotations

import pytest

from gateway import changes
from gateway.changes import Changes
from services.chassis.rpc.changes import AFTER_CHANGE_KEY


def test_the_newest_change_is_passed_on_and_an_older_one_never_takes_its_place() -> None:
    """Answers of concurrent calls arrive in any order."""
    known = Changes()
    for number in (7, 9, 8):
        known.note("acme", number)
    assert known.metadata_of("acme") == ((AFTER_CHANGE_KEY, "9"),)
    assert known.metadata_of("globex") == ()


def test_a_change_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Changes()
    known.note("acme", 1)
    monkeypatch.setattr(changes.time, "monotonic", lambda: float("inf"))
    assert known.metadata_of("acme") == ()


def test_of_too_many_organizations_the_longest_known_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_ORGANIZATIONS", 2)
    known = Changes()
    for organization in ("first", "second", "first", "third"):
        known.note(organization, 1)
    assert [bool(known.metadata_of(organization)) for organization in ("first", "second", "third")] == [
        True,
        False,
        True,
    ]
