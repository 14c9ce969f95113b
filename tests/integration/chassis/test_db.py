"""The two roles: a call sees one organization, a worker sees all, and a transaction that names none sees nothing.

And the line of a worker: transactions on one connection that begin with what they always ask.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa

from services.chassis import db as chassis_db
from services.chassis import schema
from services.chassis.db import DATABASE_ERRORS, LOCK_TIMEOUT_MS, Database, WorkerLine, is_unavailable
from services.kernel.ids import OrganizationId
from services.local.postgres_server import PostgresServer
from tests.support.chassis.operations import Operations, prepare
from tests.support.servers import settings_of

OURS, THEIRS = OrganizationId(str(uuid.uuid4())), OrganizationId(str(uuid.uuid4()))


def _make_things(operations: Operations) -> None:
    operations.execute("CREATE TABLE things (organization_id uuid, name text)")
    schema.tenant_table(operations, "things")


@pytest.fixture
def db(postgres_server: PostgresServer) -> Iterator[Database]:
    """A database with one tenant table of two organizations' rows."""
    url = postgres_server.clone_database("margin")
    prepare(url, _make_things)
    database = Database(settings_of(url, "nats://127.0.0.1:1"))
    with database.worker_transaction() as tx:
        tx.exec_driver_sql("INSERT INTO things VALUES (%s, 'ours'), (%s, 'theirs')", (OURS, THEIRS))
    yield database
    database.dispose()
    postgres_server.drop_database(url)


def test_a_call_sees_its_own_organization_only(db: Database) -> None:
    """Row-level security filters every read of the request role."""
    with db.transaction(OURS) as tx:
        assert tx.exec_driver_sql("SELECT name FROM things").scalars().all() == ["ours"]


def test_a_call_cannot_write_for_another_organization(db: Database) -> None:
    """A row of another organization is refused, not stored out of sight."""
    with pytest.raises(sa.exc.ProgrammingError, match="row-level security"), db.transaction(OURS) as tx:
        tx.exec_driver_sql("INSERT INTO things VALUES (%s, 'smuggled')", (THEIRS,))


def test_a_transaction_that_names_no_organization_fails_closed(db: Database) -> None:
    """Forgetting the organization is an error, never an empty or a full list."""
    with pytest.raises(sa.exc.DBAPIError), db._request.begin() as tx:
        tx.exec_driver_sql("SELECT name FROM things").all()


def test_the_organization_does_not_outlive_its_transaction(db: Database) -> None:
    """A pooled connection remembers nothing of the call before."""
    with db.transaction(OURS):
        pass
    with pytest.raises(sa.exc.DBAPIError), db._request.begin() as tx:
        tx.exec_driver_sql("SELECT name FROM things").all()


def test_a_worker_sees_every_organization(db: Database) -> None:
    """Consumers, jobs and the batch writer span organizations."""
    with db.worker_transaction() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM things").scalar_one() == 2


def test_a_database_that_is_away_is_told_apart_from_a_wrong_statement(db: Database) -> None:
    """Only the first may be tried again later."""
    with pytest.raises(sa.exc.ProgrammingError) as wrong, db.worker_transaction() as tx:
        tx.exec_driver_sql("SELECT nothing FROM nowhere")
    away = Database(settings_of("postgresql://nobody@127.0.0.1:1/nothing", "nats://127.0.0.1:1"))
    with pytest.raises(sa.exc.OperationalError) as gone, away.worker_transaction():
        pass
    assert not is_unavailable(wrong.value)
    assert is_unavailable(gone.value)


WHO = "SELECT pg_backend_pid()"
# Waits until the backend is gone, at most so many milliseconds.
TERMINATE = "SELECT pg_terminate_backend(%s, 5000)"


@pytest.fixture
def line(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerLine]:
    """A line that never finds its pauses long."""
    monkeypatch.setattr(chassis_db, "LINE_IDLE_SECONDS", float("inf"))
    line = db.worker_line()
    yield line
    line.close()


def _run(line: WorkerLine, opening: str, body: Callable[[sa.Connection], object]) -> None:
    with line.transaction_with(opening) as (tx, _):
        body(tx)


def _insert(tx: sa.Connection) -> None:
    tx.exec_driver_sql("INSERT INTO things VALUES (%s, 'done')", (OURS,))


def _insert_and_fail(tx: sa.Connection) -> None:
    _insert(tx)
    raise ValueError("ours")


def _insert_and_err(tx: sa.Connection) -> None:
    _insert(tx)
    tx.exec_driver_sql("SELECT nothing FROM nowhere")


def _names(db: Database) -> set[str]:
    with db.worker_transaction() as tx:
        return set(tx.exec_driver_sql("SELECT name FROM things").scalars())


def _backend(line: WorkerLine) -> int:
    with line.transaction_with(WHO) as (_, (backend,)):
        return int(backend)


def _terminate(server: PostgresServer, backend: int) -> None:
    with psycopg.connect(server.admin_url) as connection:
        assert connection.execute(TERMINATE, (backend,)).fetchone() == (True,)


def test_a_line_hands_out_the_row_of_its_opening(line: WorkerLine) -> None:
    """The last statement's, of as many as there are; and again each time, prepared statements or not."""
    for _ in range(10):
        with line.transaction_with("SELECT 'of no interest'; SELECT 7, 'seven'") as (_, row):
            assert row == (7, "seven")


def test_an_opening_without_a_row_is_refused(line: WorkerLine) -> None:
    """It is a mistake of ours, and costs the line nothing but a connection."""
    with pytest.raises(RuntimeError, match="no row"), line.transaction_with("SELECT 1 WHERE false"):
        pass
    assert _backend(line)


def test_a_line_commits(db: Database, line: WorkerLine) -> None:
    """What the opening and the body did appears at the end, and not before."""
    opening = f"INSERT INTO things VALUES ('{OURS}', 'opened'); SELECT count(*) FROM things"
    with line.transaction_with(opening) as (tx, (count,)):
        assert count == 3
        _insert(tx)
        chassis_db.driver_connection(tx).execute("INSERT INTO things VALUES (%s, 'driven')", (OURS,))
        assert _names(db) == {"ours", "theirs"}
    assert _names(db) == {"ours", "theirs", "opened", "done", "driven"}


def test_the_transactions_of_a_line_share_a_connection(line: WorkerLine) -> None:
    """As long as it does not pause."""
    assert len({_backend(line) for _ in range(5)}) == 1


def test_an_error_inside_rolls_a_line_back(db: Database, line: WorkerLine) -> None:
    """Nothing remains, and the connection serves on: a batch that repeats another is no reason to connect again."""
    backend = _backend(line)
    opening = f"INSERT INTO things VALUES ('{OURS}', 'opened'); SELECT 1"
    with pytest.raises(ValueError, match="ours"):
        _run(line, opening, _insert_and_fail)
    assert _names(db) == {"ours", "theirs"}
    assert _backend(line) == backend


@pytest.mark.parametrize("opening", ["SELECT nothing FROM nowhere", "SELECT 1"])
def test_a_wrong_statement_rolls_a_line_back(db: Database, line: WorkerLine, opening: str) -> None:
    """In the opening or after it; it is not a sign that the database is unavailable."""
    backend = _backend(line)
    with pytest.raises(DATABASE_ERRORS) as wrong:
        _run(line, opening, _insert_and_err)
    assert not is_unavailable(wrong.value)
    assert _names(db) == {"ours", "theirs"}
    assert _backend(line) == backend


@pytest.mark.parametrize("through_the_driver", [False, True])
def test_a_line_survives_the_death_of_its_connection(
    line: WorkerLine, postgres_server: PostgresServer, *, through_the_driver: bool
) -> None:
    """Between two transactions or within one: that one fails as unavailable, the next one works."""

    def die(tx: sa.Connection) -> None:
        _terminate(postgres_server, tx.exec_driver_sql(WHO).scalar_one())
        (chassis_db.driver_connection(tx).execute if through_the_driver else tx.exec_driver_sql)("SELECT 1")

    backend = _backend(line)
    _terminate(postgres_server, backend)
    with pytest.raises(DATABASE_ERRORS) as between:
        _run(line, WHO, _insert)
    assert is_unavailable(between.value)
    with pytest.raises(DATABASE_ERRORS) as within:
        _run(line, WHO, die)
    assert is_unavailable(within.value)
    assert _backend(line) != backend


def test_a_commit_that_does_not_arrive_is_an_error(
    db: Database, line: WorkerLine, postgres_server: PostgresServer
) -> None:
    """The body ran, but must not be taken for stored."""

    def insert_and_die(tx: sa.Connection) -> None:
        _insert(tx)
        _terminate(postgres_server, tx.exec_driver_sql(WHO).scalar_one())

    with pytest.raises(DATABASE_ERRORS) as lost:
        _run(line, WHO, insert_and_die)
    assert is_unavailable(lost.value)
    assert _names(db) == {"ours", "theirs"}


def test_after_a_pause_a_line_asks_whether_its_connection_lives(
    line: WorkerLine, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that died meanwhile is replaced without anybody noticing."""
    backend = _backend(line)
    _terminate(postgres_server, backend)
    monkeypatch.setattr(chassis_db, "LINE_IDLE_SECONDS", -1.0)
    assert _backend(line) != backend


def test_a_line_is_a_worker(db: Database, line: WorkerLine) -> None:
    """Its transactions have the worker's role, limits and time zone, on a fresh connection and on a used one."""
    settings = (
        "SELECT current_user, current_setting('lock_timeout'), current_setting('timezone'),"
        " (SELECT count(*) FROM things)"
    )
    for _ in range(2):
        with line.transaction_with(settings) as (tx, row):
            assert row == (f"{db._url.username}_worker", f"{LOCK_TIMEOUT_MS // 1000}s", "UTC", 2)
            assert tx.exec_driver_sql("SELECT current_user").scalar_one() == row[0]


def test_a_connection_comes_back_from_a_line_as_it_was(db: Database, line: WorkerLine) -> None:
    """Its next user gets real transactions, which roll back."""
    backend = _backend(line)
    line.close()
    used: list[int] = []

    def fail() -> None:
        with db.worker_transaction() as tx:
            used.append(tx.exec_driver_sql(WHO).scalar_one())
            _insert_and_fail(tx)

    with pytest.raises(ValueError, match="ours"):
        fail()
    assert used == [backend]
    assert _names(db) == {"ours", "theirs"}
