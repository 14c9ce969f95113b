"""Every statement of every service can run on the schema that its migrations make.

The statements are found by reading the code (tests/support/statements.py) and prepared by PostgreSQL, which refuses a
table, a column or a type that is not there. So the tables are written once, in the migrations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.chassis.config import Settings
from services.rating.tables import METADATA
from tests.support.statements import ROOT, Collector, Source, Statement

SERVICES = ("ingest", "rating", "entitlements", "margin")
# Code for a database that does not belong to a service yet, or that makes its schema.
NOT_OF_A_SCHEMA = {"migrate.py", "provision.py", "schema.py"}
# Ingest's commands carry their own identities and keep no answers of requests.
WITHOUT_REQUESTS = {"ingest"}
# Rating alone has an audit log.
WITHOUT_AUDIT = {"ingest", "entitlements", "margin"}
# Statements of SQLAlchemy Core, which is checked by its tables (ADR 10). Nobody else composes statements as they run.
CORE = {
    "rating": {
        "agreements/store.py",
        "catalog/store/add_ons.py",
        "catalog/store/coupons.py",
        "catalog/store/metrics.py",
        "catalog/store/plans.py",
        "catalog/store/taxes.py",
        "customers/store.py",
        "organizations/clock_store.py",
        "organizations/store.py",
        "shared/rows.py",
    }
}
# Partitions are named as they are made; tests/integration/ingest/test_retention.py runs these.
OF_PARTITIONS = {"ingest": {"store/partitions.py"}}
PREPARABLE = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "VALUES")
# What a binary COPY of no rows is made of: signature, flags, length of an extension, the end.
EMPTY_COPY = b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xff"
PLACEHOLDER = re.compile(r"%(?:%|\((\w+)\)[sbt]|[sbt])")


def sources_of(service: str) -> list[Source]:
    """The files of a service and of the chassis it stands on."""
    paths = [
        path
        for room in (service, "chassis")
        for path in sorted((ROOT / "services" / room).rglob("*.py"))
        if "migrations" not in path.parts and path.name not in NOT_OF_A_SCHEMA
    ]
    absent = {"idempotency.py"} if service in WITHOUT_REQUESTS else set()
    absent |= {"audit.py"} if service in WITHOUT_AUDIT else set()
    return [Source(path) for path in paths if path.name not in absent]


def numbered(text: str) -> str:
    """A statement with PostgreSQL's placeholders instead of the driver's."""
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match.group() == "%%":
            return "%"
        name = match.group(1) or f"#{len(names)}"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return PLACEHOLDER.sub(replace, text)


def try_out(connection: psycopg.Connection, text: str) -> None:
    """Let PostgreSQL look at a statement without running it; COPY runs, and copies nothing."""
    for part in text.split(";"):
        kind = part.split(maxsplit=1)[0].upper() if part.strip() else ""
        if kind in PREPARABLE:
            connection.execute(f"PREPARE looked_at AS {numbered(part)}", prepare=False)
            connection.execute("DEALLOCATE looked_at")
        elif kind == "COPY":
            connection.execute(f"SET LOCAL ROLE {connection.info.user}_worker")
            with connection.cursor() as cursor, cursor.copy(part) as copy:
                copy.write(EMPTY_COPY)


@contextmanager
def undone(connection: psycopg.Connection) -> Iterator[None]:
    """Whatever happens in the block is taken back, so that one refusal does not spoil the transaction."""
    with connection.transaction(force_rollback=True):
        yield


def refusals(connection: psycopg.Connection, statements: list[Statement]) -> list[str]:
    """What PostgreSQL says against the statements."""
    found = []
    for statement in statements:
        try:
            with undone(connection):
                try_out(connection, statement.text)
        except psycopg.Error as error:
            found.append(f"{statement.place}: {error}\n{statement.text}")
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_every_statement_is_one_of_the_schema(service: str, settings_for: Callable[[str], Settings]) -> None:
    """PostgreSQL prepares each of them on the migrated database."""
    statements, _ = Collector(sources_of(service)).collect()
    assert len([statement for statement in statements if f"services/{service}/" in statement.place]) >= 30
    url = settings_for(service).database_url.get_secret_value()
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        assert "\n\n".join(refusals(connection, statements)) == ""


@pytest.mark.parametrize("service", SERVICES)
def test_no_statement_escapes(service: str) -> None:
    """Every executed statement is a constant or made of constants, or is in a file that says why not."""
    _, unknown = Collector(sources_of(service)).collect()
    excused = CORE.get(service, set()) | OF_PARTITIONS.get(service, set())
    assert [place for place in unknown if not any(f"services/{service}/{file}:" in place for file in excused)] == []


def test_the_tables_of_core_are_those_of_the_migrations(settings_for: Callable[[str], Settings]) -> None:
    """Core cannot name a column that its tables lack; so each table is compared with the migrated one."""
    url = sa.make_url(settings_for("rating").database_url.get_secret_value()).set(drivername="postgresql+psycopg")
    options = {"include_name": lambda name, kind, _: kind != "table" or name in METADATA.tables}
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('_SQL = "SELECT 1"\ndef f(tx): tx.execute(_SQL)', ["SELECT 1"]),
        ('_TABLE = "t"\ndef f(tx): tx.execute(f"SELECT 1 FROM {_TABLE}")', ["SELECT 1 FROM t"]),
        (
            'def f(tx, lock): tx.execute("SELECT 1" + (" FOR UPDATE" if lock else ""))',
            ["SELECT 1 FOR UPDATE", "SELECT 1"],
        ),
        ('_OF = {1: "a", 2: "b"}\ndef f(tx, k): tx.execute(f"SELECT {_OF[k]}")', ["SELECT a", "SELECT b"]),
        ('def f(tx):\n  for sql in ("SELECT 1", "SELECT 2"): tx.execute(sql)', ["SELECT 1", "SELECT 2"]),
        (
            'def f(tx, sql): tx.execute(sql)\ndef g(tx): f(tx, "SELECT 1"); f(tx, sql="SELECT 2")',
            ["SELECT 1", "SELECT 2"],
        ),
        ('def f(tx, names): tx.execute(f"SELECT {names}")\ndef g(tx, n): f(tx, ", ".join(n))', None),
        ("def f(tx, names): tx.execute(' AND '.join(names))", None),
    ],
)
def test_how_statements_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, found: list[str] | None
) -> None:
    """Constants, branches, mappings, loops and what callers hand in; a text that is made as it runs is told."""
    monkeypatch.setattr("tests.support.statements.ROOT", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / f"store_{abs(hash(body))}.py"
    path.write_text(body)
    statements, unknown = Collector([Source(path)]).collect()
    assert ([statement.text for statement in statements], bool(unknown)) == (found or [], found is None)


def test_a_statement_of_another_schema_is_refused(settings_for: Callable[[str], Settings]) -> None:
    """The test can fail: a column that is not there is told by its place."""
    url = settings_for("margin").database_url.get_secret_value()
    wrong = [Statement("somewhere:1", "SELECT colour FROM alerts WHERE organization_id = %(organization)s")]
    with psycopg.connect(url) as connection:
        (refusal,) = refusals(connection, wrong)
    assert refusal.startswith('somewhere:1: column "colour" does not exist')
