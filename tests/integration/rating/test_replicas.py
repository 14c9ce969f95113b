"""Several replicas close the same periods at once, and one of them dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from services.chassis.config import Settings
from services.chassis.wait import wait_until
from services.kernel.clock import FrozenClock
from services.rating.clock import due
from services.rating.clock.due import close_batch, run_due
from services.rating.deps import Deps
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating import closer
from tests.support.rating.billing import Billing, running_billing
from tests.support.rating.server import build_test_deps, standard_charge, timestamp

FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)
SUBSCRIPTIONS = 60


class _KilledError(BaseException):
    """The process is gone in the middle of its transaction."""


def populate(billing: Billing) -> None:
    billing.tenant.metric("calls")
    billing.tenant.plan(charges=[standard_charge("calls", "1")])
    for number in range(SUBSCRIPTIONS):
        started = timestamp(datetime(2024, 1, 1, tzinfo=UTC))
        billing.subscribe(customer=f"c{number}", started_at=started)


def replicas(billing: Billing, count: int) -> list[Deps]:
    return [build_test_deps(billing.rating.deps.db, FrozenClock(FEBRUARY), usage_log=billing.log) for _ in range(count)]


def assert_every_invoice_once(billing: Billing) -> None:
    with billing.rating.deps.db.worker_transaction() as tx:
        numbers = tx.exec_driver_sql("SELECT sequential_id FROM invoices ORDER BY 1").scalars().all()
        subscriptions = tx.exec_driver_sql("SELECT count(DISTINCT subscription_ids[1]) FROM invoices").scalar_one()
        still_open = tx.exec_driver_sql(
            "SELECT count(*) FROM billing_periods WHERE state = 'open' AND period_end <= %s", (FEBRUARY,)
        ).scalar_one()
        announced = tx.exec_driver_sql(
            "SELECT count(*) FROM outbox WHERE subject = 'rating.invoice.changed'"
        ).scalar_one()
    assert numbers == list(range(1, SUBSCRIPTIONS + 1))
    assert (subscriptions, still_open, announced) == (SUBSCRIPTIONS, 0, SUBSCRIPTIONS)


def test_replicas_share_the_run_and_every_invoice_is_made_once(
    settings_for: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "BATCH", 7)
    with running_billing(settings_for("rating")) as billing:
        populate(billing)
        closed: list[int] = []
        together = threading.Barrier(3)

        def work(deps: Deps) -> None:
            together.wait(timeout=PATIENCE_SECONDS)
            closed.append(run_due(deps, FEBRUARY).closed)

        threads = [threading.Thread(target=work, args=(deps,)) for deps in replicas(billing, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=PATIENCE_SECONDS)
        assert sum(closed) == SUBSCRIPTIONS
        assert_every_invoice_once(billing)


def test_a_killed_process_leaves_neither_gap_nor_double(settings_for: Callable[[str], Settings]) -> None:
    """Two processes close the same periods two at a time; one of them is killed with signal 9 on the way."""
    settings = settings_for("rating")
    with running_billing(settings) as billing:
        populate(billing)
        arguments = (settings.database_url.get_secret_value(), FEBRUARY.isoformat(), "2")
        command = [sys.executable, closer.__file__, *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        mortal, survivor = (subprocess.Popen(command, env=environment) for _ in range(2))
        wait_until(lambda: made(billing) >= 6, timeout=PATIENCE_SECONDS, what="the first invoices")
        mortal.kill()
        assert made(billing) < SUBSCRIPTIONS, "the kill came in the middle"
        mortal.wait(timeout=PATIENCE_SECONDS)
        assert survivor.wait(timeout=PATIENCE_SECONDS) == 0
        run_due(replicas(billing, 1)[0], FEBRUARY)
        assert_every_invoice_once(billing)


def made(billing: Billing) -> int:
    with billing.rating.deps.db.worker_transaction() as tx:
        return tx.exec_driver_sql("SELECT count(*) FROM invoices").scalar_one()


def test_a_replica_that_dies_in_the_middle_leaves_neither_gap_nor_double(
    settings_for: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "BATCH", 7)
    with running_billing(settings_for("rating")) as billing:
        populate(billing)
        dying, living = replicas(billing, 2)

        def announce_and_die(*_: object) -> None:
            raise _KilledError

        close_batch(dying, FEBRUARY)
        mortal = build_test_deps(dying.db, FrozenClock(FEBRUARY), announce_all=announce_and_die)
        with pytest.raises(_KilledError):
            close_batch(mortal, FEBRUARY)
        run_due(living, FEBRUARY)
        assert_every_invoice_once(billing)
