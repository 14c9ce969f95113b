"""What every migration defines for a table: who may use it, and which organization's rows a call may see.

A tenant's table is under row-level security, forced even on its owner: the request role sees the rows of the
organization that its transaction named (chassis.db), and a transaction that named none gets an error, not an empty
list. The worker role bypasses row security (ADR 0004).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

READ_WRITE = "SELECT, INSERT, UPDATE, DELETE"


def tenant_table(op: Any, table: str, *, request: str = READ_WRITE, worker: str = READ_WRITE) -> None:
    """Put a table with an `organization_id uuid` column under row-level security and grant it to both roles.

    Args:
        op: alembic's operations.
        table: the name of the table.
        request: privileges of the request role.
        worker: privileges of the worker role.
    """
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    own = "organization_id = current_setting('farebox.organization_id')::uuid"
    op.execute(f"CREATE POLICY own_organization ON {table} USING ({own}) WITH CHECK ({own})")
    grant(op, table, request=request, worker=worker)


@contextmanager
def every_row(op: Any, *tables: str) -> Iterator[None]:
    """A block in which a migration, which runs as the owner and names no organization, reaches all rows."""
    for table in tables:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    yield
    for table in tables:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def grant(op: Any, table: str, *, request: str = "", worker: str = READ_WRITE) -> None:
    """Grant privileges on a table that no tenant owns, such as the outbox; an empty string grants none."""
    owner = op.get_bind().exec_driver_sql("SELECT current_user").scalar_one()
    for role, privileges in ((f"{owner}_request", request), (f"{owner}_worker", worker)):
        if privileges:
            op.execute(f"GRANT {privileges} ON {table} TO {role}")


def publishing_tables(op: Any) -> None:
    """Create the outbox of a service that announces domain events (chassis.outbox)."""
    op.execute(
        """
        CREATE TABLE outbox (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            number bigint UNIQUE,
            subject text NOT NULL,
            body bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            published_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL")
    op.execute(
        """
        CREATE TABLE outbox_head (
            singleton boolean PRIMARY KEY DEFAULT true CONSTRAINT outbox_head_is_one_row CHECK (singleton),
            last_number bigint NOT NULL DEFAULT 0,
            stream_created_at timestamptz
        )
        """
    )
    # A request only adds rows; the outbox spans organizations, and only the relay reads it.
    grant(op, "outbox", request="INSERT")
    grant(op, "outbox_head")


def following_tables(op: Any) -> None:
    """Create what a service needs in order to follow numbered logs (chassis.follower, chassis.lease)."""
    op.execute(
        """
        CREATE TABLE inbox (
            log text PRIMARY KEY,
            last_number bigint NOT NULL,
            stream_sequence bigint NOT NULL DEFAULT 0
        )
        """
    )
    op.execute(
        """
        CREATE TABLE dead_letters (
            log text,
            number bigint,
            subject text NOT NULL,
            body bytea NOT NULL,
            error text NOT NULL,
            set_aside_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (log, number)
        )
        """
    )
    op.execute("CREATE TABLE consumer_members (holder text PRIMARY KEY, seen_at timestamptz NOT NULL)")
    op.execute("CREATE TABLE consumer_leases (name text PRIMARY KEY, holder text, expires_at timestamptz)")
    for table in ("inbox", "dead_letters", "consumer_members", "consumer_leases"):
        grant(op, table)
