"""The two roles: a call sees one organization, a worker sees all, and a transaction that names none sees nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from services.chassis import schema
from services.chassis.db import Database, is_unavailable
from services.chassis.local_postgres import LocalPostgres
from tests.support.operations import Operations, prepare
from tests.support.servers import settings_of

OURS, THEIRS = str(uuid.uuid4()), str(uuid.uuid4())


def _make_things(operations: Operations) -> None:
    operations.execute("CREATE TABLE things (organization_id uuid, name text)")
    schema.tenant_table(operations, "things")


@pytest.fixture
def db(postgres_server: LocalPostgres) -> Iterator[Database]:
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
