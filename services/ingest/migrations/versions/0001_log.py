"""The usage-event log, its shards, its quarantine, and the projection of the catalog."""

from __future__ import annotations

from alembic import op

from services.chassis.schema import following_tables, grant, publishing_tables, tenant_table
from services.wire.shards import SHARD_COUNT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FIRST_HASHED_KEY = "80000000-0000-0000-0000-000000000000"


def upgrade() -> None:
    _log()
    _partitions()
    _dispositions()
    _shards()
    _catalog()
    _projections()
    _release_requests()
    publishing_tables(op)
    following_tables(op)


def _log() -> None:
    op.execute("CREATE SEQUENCE usage_event_commit_ids")
    grant(op, "SEQUENCE usage_event_commit_ids", worker="USAGE")
    op.execute(
        """
        CREATE TABLE usage_events (
            commit_id bigint NOT NULL,
            occurred_at timestamptz NOT NULL,
            received_at timestamptz NOT NULL,
            event_key uuid NOT NULL,
            organization_id uuid NOT NULL,
            content_hash uuid NOT NULL,
            subscription_id uuid,
            shard smallint NOT NULL,
            occurred_at_given boolean NOT NULL,
            transaction_id text NOT NULL,
            external_customer_id text NOT NULL,
            external_subscription_id text NOT NULL,
            code text NOT NULL,
            properties bytea NOT NULL,
            precise_total_amount_cents numeric,
            PRIMARY KEY (event_key)
        ) PARTITION BY RANGE (event_key)
        """
    )
    # 32 pages hold about one commit of 1,000 events, so one commit is found by reading little else.
    op.execute(
        "CREATE INDEX usage_events_commit_id ON usage_events USING brin (commit_id) "
        "WITH (pages_per_range = 32, autosummarize = on)"
    )
    tenant_table(op, "usage_events", request="SELECT", worker="SELECT, INSERT")
    op.execute(
        """
        CREATE TABLE usage_event_commits (
            organization_id uuid NOT NULL,
            shard smallint NOT NULL,
            commit_id bigint NOT NULL,
            first_occurred_at timestamptz NOT NULL,
            last_occurred_at timestamptz NOT NULL,
            PRIMARY KEY (organization_id, shard, commit_id)
        )
        """
    )
    tenant_table(op, "usage_event_commits", request="SELECT", worker="SELECT, INSERT, DELETE")


def _partitions() -> None:
    """Three ranges to begin with: ids made before this month, ids made from now on, hashed ids."""
    op.execute("CREATE SCHEMA usage_partitions")
    op.execute(
        f"""
        DO $$
        DECLARE
            made_ms bigint := extract(epoch FROM date_trunc('month', now(), 'UTC')) * 1000;
            month uuid := rpad(lpad(to_hex(made_ms), 12, '0'), 32, '0')::uuid;
        BEGIN
            EXECUTE format('CREATE TABLE usage_partitions.ids_before PARTITION OF usage_events
                FOR VALUES FROM (MINVALUE) TO (%L)', month);
            EXECUTE format('CREATE TABLE usage_partitions.ids_after PARTITION OF usage_events
                FOR VALUES FROM (%L) TO (%L)', month, '{FIRST_HASHED_KEY}');
            CREATE TABLE usage_partitions.hashed PARTITION OF usage_events
                FOR VALUES FROM ('{FIRST_HASHED_KEY}') TO (MAXVALUE);
        END $$
        """
    )
    op.execute(
        """
        CREATE TABLE retired_key_ranges (
            first_key uuid PRIMARY KEY,
            end_key uuid NOT NULL,
            event_count bigint NOT NULL,
            retired_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    grant(op, "retired_key_ranges", worker="SELECT, INSERT")


def _dispositions() -> None:
    op.execute(
        """
        CREATE TABLE quarantined_usage_events (
            organization_id uuid NOT NULL,
            event_key uuid NOT NULL,
            reason text NOT NULL,
            field text NOT NULL,
            description text NOT NULL,
            code text NOT NULL,
            external_customer_id text NOT NULL,
            external_subscription_id text NOT NULL,
            quarantined_at timestamptz NOT NULL,
            released_at timestamptz,
            subscription_id uuid,
            released_customer_id text,
            PRIMARY KEY (organization_id, event_key)
        )
        """
    )
    for name, columns in (
        ("listed", "quarantined_at, event_key"),
        ("by_code", "code, event_key"),
        ("by_customer", "external_customer_id, external_subscription_id, event_key"),
    ):
        op.execute(
            f"CREATE INDEX quarantined_usage_events_{name} ON quarantined_usage_events (organization_id, {columns}) "
            "WHERE released_at IS NULL"
        )
    tenant_table(op, "quarantined_usage_events", request="SELECT")
    op.execute(
        """
        CREATE TABLE voided_usage_events (
            organization_id uuid NOT NULL,
            event_key uuid NOT NULL,
            reason text NOT NULL,
            actor text NOT NULL,
            replaced_by text,
            voided_at timestamptz NOT NULL,
            PRIMARY KEY (organization_id, event_key)
        )
        """
    )
    tenant_table(op, "voided_usage_events", request="SELECT", worker="SELECT, INSERT")


def _shards() -> None:
    op.execute("CREATE TABLE shard_heads (shard smallint PRIMARY KEY, last_number bigint NOT NULL)")
    op.execute("CREATE TABLE shard_publications (shard smallint PRIMARY KEY, published_number bigint NOT NULL)")
    op.execute(
        """
        CREATE TABLE shard_batches (
            shard smallint,
            number bigint,
            event_count integer NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            payload bytea NOT NULL,
            PRIMARY KEY (shard, number)
        )
        """
    )
    # Compressing (pglz) costs a commit more than writing the bytes does.
    op.execute("ALTER TABLE shard_batches ALTER COLUMN payload SET STORAGE EXTERNAL")
    for table in ("shard_heads", "shard_publications"):
        op.execute(f"INSERT INTO {table} SELECT shard, 0 FROM generate_series(0, {SHARD_COUNT - 1}) AS shard")
        # Rewritten with every commit: room for new versions on the same page keeps the index untouched.
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 10)")
        grant(op, table, worker="SELECT, UPDATE")
    grant(op, "shard_batches", worker="SELECT, INSERT, DELETE")


def _catalog() -> None:
    op.execute(
        """
        CREATE TABLE catalog_head (
            singleton boolean PRIMARY KEY DEFAULT true CONSTRAINT catalog_head_is_one_row CHECK (singleton),
            revision bigint NOT NULL
        )
        """
    )
    op.execute("INSERT INTO catalog_head (revision) VALUES (0)")
    grant(op, "catalog_head", worker="SELECT, UPDATE")
    op.execute(
        """
        CREATE TABLE catalog_changes (
            revision bigint,
            organization_id uuid,
            kind text,
            key text,
            PRIMARY KEY (revision, organization_id, kind, key)
        )
        """
    )
    grant(op, "catalog_changes")


def _projections() -> None:
    op.execute(
        """
        CREATE TABLE organizations (
            organization_id uuid PRIMARY KEY,
            rejects_duplicates boolean NOT NULL DEFAULT false,
            test_clock_now timestamptz,
            test_clock_revision bigint NOT NULL DEFAULT 0
        )
        """
    )
    op.execute(
        """
        CREATE TABLE billable_metrics (
            organization_id uuid,
            code text,
            needs text NOT NULL,
            field_name text NOT NULL,
            PRIMARY KEY (organization_id, code)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE subscriptions (
            organization_id uuid,
            subscription_id uuid,
            external_id text NOT NULL,
            external_customer_id text NOT NULL,
            starts_at timestamptz NOT NULL,
            ends_at timestamptz,
            PRIMARY KEY (organization_id, subscription_id)
        )
        """
    )
    for column in ("external_id", "external_customer_id"):
        op.execute(f"CREATE INDEX subscriptions_{column} ON subscriptions (organization_id, {column})")
    for table in ("organizations", "billable_metrics", "subscriptions"):
        tenant_table(op, table, request="SELECT")


def _release_requests() -> None:
    op.execute(
        """
        CREATE TABLE release_requests (
            organization_id uuid,
            id bigint GENERATED ALWAYS AS IDENTITY,
            kind text NOT NULL,
            key text NOT NULL,
            after_key uuid,
            PRIMARY KEY (organization_id, id)
        )
        """
    )
    tenant_table(op, "release_requests", request="")


def downgrade() -> None:
    for table in (
        "usage_events",
        "usage_event_commits",
        "retired_key_ranges",
        "quarantined_usage_events",
        "voided_usage_events",
        "shard_heads",
        "shard_publications",
        "shard_batches",
        "catalog_head",
        "catalog_changes",
        "organizations",
        "billable_metrics",
        "subscriptions",
        "release_requests",
        "outbox",
        "outbox_head",
        "inbox",
        "dead_letters",
        "consumer_members",
        "consumer_leases",
    ):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP SCHEMA usage_partitions")
    op.execute("DROP SEQUENCE usage_event_commit_ids")
