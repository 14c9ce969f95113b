"""Databases and roles of the services, on any PostgreSQL 16 or later.

    ADMIN_DATABASE_URL=… INGEST_DATABASE_PASSWORD=… … python -m services.chassis.provision

Each service `s` has a database `farebox_s` and three roles. `farebox_s` logs in, owns the database and runs the
migrations. It inherits nothing, so code that forgot to choose a role is refused instead of seeing too much.
`farebox_s_request` serves calls under row-level security; `farebox_s_worker` runs consumers, jobs and batch writes that
span organizations, and bypasses row security. The migrations define, table by table, what each role may do. Running
this again changes nothing except the passwords it is given.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from services.chassis.wait import wait_until
from services.kernel.errors import InvalidArgumentError

SERVICES = ("ingest", "rating", "entitlements", "margin")

# Any number that nothing else uses: all replicas of a deployment may provision at once, but one at a time.
ADVISORY_LOCK = 0x6661_7265
# Another run holds the lock for well under a second; if it takes longer than this, it is stuck.
LOCK_SECONDS = 30.0
# In a cluster the server may still be starting when this runs; an orchestrator retries after that.
CONNECT_SECONDS = 60.0
CONNECT_TRY_SECONDS = 5

CREATE_ROLE = "CREATE ROLE {role}"
CREATE_DATABASE = "CREATE DATABASE {database} OWNER {login} TEMPLATE template0 ENCODING 'UTF8'"
SET_PASSWORD = "ALTER ROLE {login} PASSWORD {password}"  # noqa: S105 - a statement, not a password
# Only the worker bypasses row security, and only by naming itself: SET ROLE farebox_s_worker.
ROLES = (
    "ALTER ROLE {login} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS",
    "ALTER ROLE {request} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS",
    "ALTER ROLE {worker} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS",
    "GRANT {request} TO {login} WITH INHERIT FALSE, SET TRUE",
    "GRANT {worker} TO {login} WITH INHERIT FALSE, SET TRUE",
)
# No service may even connect to another's database. The worker may make temporary tables, into which batches are
# copied.
DATABASE = (
    "ALTER DATABASE {database} OWNER TO {login}",
    "REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC",
    "GRANT TEMPORARY ON DATABASE {database} TO {worker}",
)
# Run inside the service's database.
SCHEMA = (
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "GRANT USAGE ON SCHEMA public TO {request}, {worker}",
)


def database_name(service: str) -> str:
    """The database of a service, which is also the name of its login role."""
    return f"farebox_{service}"


def request_role(service: str) -> str:
    """The role under row-level security that serves calls."""
    return f"farebox_{service}_request"


def worker_role(service: str) -> str:
    """The role that passes row-level security, for consumers, jobs and batch writes."""
    return f"farebox_{service}_worker"


def provision(
    admin_url: str, services: Sequence[str] = SERVICES, *, passwords: Mapping[str, str] | None = None
) -> None:
    """Make the databases and roles of `services` as they should be.

    Args:
        admin_url: a superuser's URL of the server.
        services: the services.
        passwords: the new passwords of login roles, by service; other roles keep theirs (a new role has none).

    Raises:
        TimeoutError: another run holds the provisioning lock.
    """
    given = passwords or {}
    with psycopg.connect(admin_url, autocommit=True) as admin:
        _lock(admin)
        for service in services:
            _provision_service(admin, admin_url, service, given.get(service))


def wait_for_server(admin_url: str) -> None:
    """Wait until the server answers.

    Raises:
        TimeoutError: it did not answer within `CONNECT_SECONDS`.
    """
    conninfo = make_conninfo(admin_url, connect_timeout=CONNECT_TRY_SECONDS).encode()
    wait_until(
        lambda: psycopg.pq.PGconn.ping(conninfo) == psycopg.pq.Ping.OK,
        timeout=CONNECT_SECONDS,
        what="the PostgreSQL server to accept connections",
    )


def main() -> None:
    """Provision the server the environment names."""
    environment = os.environ
    needed = ["ADMIN_DATABASE_URL", *(f"{service.upper()}_DATABASE_PASSWORD" for service in SERVICES)]
    missing = [name for name in needed if not environment.get(name)]
    if missing:
        sys.exit(f"not set: {', '.join(missing)}")
    admin_url = environment["ADMIN_DATABASE_URL"]
    wait_for_server(admin_url)
    passwords = {service: environment[f"{service.upper()}_DATABASE_PASSWORD"] for service in SERVICES}
    provision(admin_url, passwords=passwords)
    sys.stdout.write(f"provisioned {', '.join(database_name(service) for service in SERVICES)}\n")


def _lock(admin: psycopg.Connection) -> None:
    """Take the provisioning lock; it ends with the connection."""

    def taken() -> bool:
        row = admin.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK]).fetchone()
        return row is not None and bool(row[0])

    wait_until(taken, timeout=LOCK_SECONDS, what="the lock of another provisioning run")


def _provision_service(admin: psycopg.Connection, admin_url: str, service: str, password: str | None) -> None:
    if service not in SERVICES:
        raise InvalidArgumentError("SERVICE_UNKNOWN", f"there is no service {service!r}", service=service)
    names = {
        "database": database_name(service),
        "login": database_name(service),
        "request": request_role(service),
        "worker": worker_role(service),
    }
    identifiers = {name: sql.Identifier(value) for name, value in names.items()}
    for role in (names["login"], names["request"], names["worker"]):
        if not _exists(admin, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
            admin.execute(sql.SQL(CREATE_ROLE).format(role=sql.Identifier(role)))
    _run(admin, ROLES, identifiers)
    if password is not None:
        _set_password(admin, names["login"], password)
    if not _exists(admin, "SELECT 1 FROM pg_database WHERE datname = %s", names["database"]):
        admin.execute(sql.SQL(CREATE_DATABASE).format(**identifiers))
    _run(admin, DATABASE, identifiers)
    with psycopg.connect(make_conninfo(admin_url, dbname=names["database"]), autocommit=True) as inside:
        _run(inside, SCHEMA, identifiers)


def _exists(admin: psycopg.Connection, question: str, name: str) -> bool:
    return admin.execute(question, [name]).fetchone() is not None


def _run(connection: psycopg.Connection, statements: Sequence[str], identifiers: Mapping[str, sql.Identifier]) -> None:
    for statement in statements:
        connection.execute(sql.SQL(statement).format(**identifiers))


def _set_password(admin: psycopg.Connection, login: str, password: str) -> None:
    """Store the password's SCRAM verifier, which is computed here, so that no server log sees the password."""
    verifier = admin.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256").decode()
    statement = sql.SQL(SET_PASSWORD).format(login=sql.Identifier(login), password=sql.Literal(verifier))
    admin.execute(statement)


if __name__ == "__main__":
    main()
