"""Run the chassis's migration helpers outside a migration, on tables that only a test has."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa


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
    """Run `make` in one transaction on the database at `url`."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        make(Operations(connection))
