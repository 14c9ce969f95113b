"""Old months go as a whole, and their ids are refused for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from farebox.ingest.v1 import usage_event_pb2 as pb
from services.chassis.wait import wait_until
from services.ingest import retention
from tests.support.ingest.process import Ingest, usage_event
from tests.support.patience import PATIENCE_SECONDS

OLD = "0190163d-8694-739b-aea5-966c26f8ad91"  # made in June 2024
HASHED = "order-1"


def test_dry_run_changes_nothing(ingest: Ingest) -> None:
    ingest.send(usage_event(OLD))
    before = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with retention.owner_connection(ingest.settings.database_url.get_secret_value()) as owner:
        [candidate] = retention.find(owner, before)
    assert candidate.event_count == 1
    assert ingest.outcomes(usage_event(OLD)) == ["duplicate"]


def test_removed_ids_are_refused_and_others_are_not(ingest: Ingest) -> None:
    assert ingest.outcomes(usage_event(OLD), usage_event(HASHED)) == ["accepted", "accepted"]
    before = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with retention.owner_connection(ingest.settings.database_url.get_secret_value()) as owner:
        [candidate] = retention.find(owner, before)
        retention.remove(owner, candidate)
    response = ingest.send(usage_event(OLD), usage_event(HASHED), usage_event())
    assert list(response.outcomes) == [
        pb.INGEST_OUTCOME_REJECTED,
        pb.INGEST_OUTCOME_DUPLICATE,
        pb.INGEST_OUTCOME_ACCEPTED,
    ]
    assert (response.details[0].field, response.details[0].reason) == ("transaction_id", "value_is_out_of_range")
    assert ingest.stored() == 2


def test_command_says_what_it_would_do(ingest: Ingest) -> None:
    ingest.send(usage_event(OLD, code="unknown"))
    cut = datetime.now(UTC).strftime("%Y-%m-01")
    environment = {"DATABASE_URL": ingest.settings.database_url.get_secret_value()}
    runner = CliRunner()
    for options, fate in (([], "kept"), (["--apply"], "kept"), (["--with-quarantined"], "would be removed")):
        result = runner.invoke(retention.main, ["--made-before", cut, *options], env=environment)
        assert result.exception is None
        assert "1 events" in result.output
        assert fate in result.output
    assert ingest.stored() == 1


def test_a_range_that_cannot_be_removed_keeps_no_other(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says which one failed and why, removes the others, and ends with an error."""
    ingest.send(usage_event(OLD), usage_event())
    following = (datetime.now(UTC).replace(day=1) + timedelta(days=32)).strftime("%Y-%m-01")
    wait_until(lambda: _has_boundary(ingest, following), timeout=PATIENCE_SECONDS, what="the next month's range")
    remove = retention.remove

    def fail(owner: Any, candidate: retention.Candidate) -> None:
        if candidate.partition.name == "ids_before":
            raise psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")
        remove(owner, candidate)

    monkeypatch.setattr(retention, "remove", fail)
    environment = {"DATABASE_URL": ingest.settings.database_url.get_secret_value()}
    result = CliRunner().invoke(retention.main, ["--made-before", following, "--apply"], env=environment)
    assert result.exit_code == 1
    fates = [line.rsplit(": ", 1)[-1] for line in result.output.splitlines()]
    assert fates == ["canceling statement due to lock timeout", "removed"]
    assert ingest.stored() == 1


def _has_boundary(ingest: Ingest, day: str) -> bool:
    """Whether a range ends with a day's beginning."""
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    with retention.owner_connection(ingest.settings.database_url.get_secret_value()) as owner:
        return len(retention.find(owner, at)) > 1
