"""Batches of many organizations share a commit; one that cannot be committed fails alone."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from services.ingest.domain.usage_events import UsageEvents
from services.ingest.pipeline.commit import Committer
from services.ingest.pipeline.queue import Submission
from services.kernel.ids import OrganizationId


def test_a_batch_that_cannot_be_committed_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises, its sender alone hears of it, and the neighbours of the same commit are stored."""
    nothing: Any = None
    committer = Committer(nothing, nothing, nothing, threading.Event())
    stored: list[str] = []
    finished: list[Submission] = []

    def commit(_: Any, batches: list[Submission]) -> None:
        if any(batch.organization == "victim" for batch in batches):
            raise ArithmeticError("poison")
        stored.extend(batch.organization for batch in batches)

    monkeypatch.setattr(committer, "_commit", commit)
    committer.listen(finished.extend)
    preparation: Any = SimpleNamespace(byte_size=0)
    batches = [
        Submission(OrganizationId(name), UsageEvents.of([]), 0, preparation) for name in ("acme", "victim", "globex")
    ]
    committer._commit_together(nothing, batches)
    assert stored == ["acme", "globex"]
    assert [batch.organization for batch in finished] == ["acme", "victim", "globex"]
    assert [isinstance(batch.error, ArithmeticError) for batch in batches] == [False, True, False]
