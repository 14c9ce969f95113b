"""Run the chassis's migration helpers outside a migration, on tables that only a test has."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

# The tables of a service whose tests ran before on the same server.
_EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE 'DROP TABLE ' || quote_ident(name) || ' CASCADE';
    END LOOP;
END $$
"""


class Operations:
    """The operations of alembic that chassis.schema uses."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str) -> None:
        """Run one statement."""
        self._connection.exec_driver_sql(statement)

    def get_bind(self) -> sa.Connection:
        """The connection that runs them."""
        return self._connection


def prepare(url: str, make: Callable[[Operations], None]) -> None:
    """Run `make` in one transaction on the database at `url`, which may be a copy of a migrated one."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(_EMPTY)
        make(Operations(connection))
