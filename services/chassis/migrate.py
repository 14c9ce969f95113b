"""Schema migrations of the services: Alembic without ini files, safe to run from several replicas at once.

    INGEST_DATABASE_URL=… RATING_DATABASE_URL=… python -m services.chassis.migrate ingest rating
    DATABASE_URL=… python -m services.chassis.migrate ingest

A service keeps its revisions in `services/<service>/migrations/versions`; its `migrations/env.py` is two
lines:

The migrations are the only place that defines the tables; a test prepares every statement of the code on them
(tests/integration/test_statements.py).

They run as the service's login role, which owns the database, and they define what the request role and the worker role
may do with each table: without a GRANT, neither can use a table.

The migrations are the one place that says what the tables are; a test prepares every statement of the code on them
(tests/integration/test_statements.py).

They run as the service's login role, which owns the database, and they say what the request role and the
worker role may do with each table: a table without a GRANT can be used by neither.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from services.chassis.provision import SERVICES
from services.chassis.wait import wait_until
from services.kernel.errors import InvalidArgumentError

# Any number that nothing else uses in a service's database.
ADVISORY_LOCK = 0x6D69_6772
# How long a replica waits while another migrates: as long as one statement may take, and a little more.
LOCK_SECONDS = 330.0
# A migration that cannot lock a table soon must not queue: every later query of the table would queue behind it.
TABLE_LOCK_TIMEOUT = "5s"
# Filling a new column or building an index on a large table takes minutes, but not forever.
STATEMENT_TIMEOUT = "300s"
CONNECT_SECONDS = 10

HEAD = "head"


def migrate(package: str, url: str, *, revision: str = HEAD) -> str | None:
    """Bring the database at `url` up to `revision` of the package's migrations; returns its revision.

    Args:
        package: import path of the service, e.g. `services.ingest`.
        url: `postgresql://…` of the service's database, as its login role.
        revision: Alembic's name of the revision.

    Raises:
        TimeoutError: another replica holds the migration lock.
    """
    with _prepared(package, url) as (config, connection):
        command.upgrade(config, revision)
        return MigrationContext.configure(connection).get_current_revision()


def downgrade(package: str, url: str, revision: str) -> None:
    """Take the database at `url` back to `revision`: for tests, and for a person who knows what is lost."""
    with _prepared(package, url) as (config, _):
        command.downgrade(config, revision)


def run_env() -> None:
    """Everything a service's `migrations/env.py` does: run the requested migrations on its connection."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Migrate the services named on the command line."""
    services = sys.argv[1:]
    if not services or any(service not in SERVICES for service in services):
        sys.exit(f"usage: python -m services.chassis.migrate SERVICE … (of {', '.join(SERVICES)})")
    for service in services:
        name = f"{service.upper()}_DATABASE_URL"
        url = os.environ.get(name) or os.environ.get("DATABASE_URL")
        if not url:
            sys.exit(f"set {name} or DATABASE_URL")
        revision = migrate(f"services.{service}", url)
        sys.stdout.write(f"{service}: at revision {revision}\n")


@contextmanager
def _prepared(package: str, url: str) -> Iterator[tuple[Config, sqlalchemy.Connection]]:
    """A configuration with a connection that holds the migration lock."""
    config = Config()
    config.set_main_option("script_location", str(_migrations_of(package)).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    address = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg")
    options = f"-c lock_timeout={TABLE_LOCK_TIMEOUT} -c statement_timeout={STATEMENT_TIMEOUT}"
    engine = sqlalchemy.create_engine(
        address,
        poolclass=sqlalchemy.NullPool,
        connect_args={"options": options, "connect_timeout": CONNECT_SECONDS, "application_name": "migrate"},
    )
    with engine.connect() as connection:
        _lock(connection)
        config.attributes["connection"] = connection
        yield config, connection


def _lock(connection: sqlalchemy.Connection) -> None:
    """Take the migration lock; it ends with the connection.

    It is requested repeatedly instead of waited for inside the server: a waiting statement holds a snapshot, and the
    migration that has the lock could then never finish a CREATE INDEX CONCURRENTLY.
    """
    question = sqlalchemy.select(sqlalchemy.func.pg_try_advisory_lock(ADVISORY_LOCK))

    def taken() -> bool:
        answer = bool(connection.scalar(question))
        connection.rollback()
        return answer

    wait_until(taken, timeout=LOCK_SECONDS, what="the migrations of another replica")


def _migrations_of(package: str) -> Path:
    found = importlib.util.find_spec(package)
    for location in (found.submodule_search_locations or ()) if found else ():
        migrations = Path(location) / "migrations"
        if (migrations / "env.py").exists():
            return migrations
    raise InvalidArgumentError("MIGRATIONS_MISSING", f"{package} has no migrations/env.py", package=package)


if __name__ == "__main__":
    main()
