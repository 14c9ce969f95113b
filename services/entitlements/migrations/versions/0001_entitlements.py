"""The first schema: features, the projection of rating, entitlements, usage, holds and the ledger."""

from alembic import op

from services.chassis import idempotency, schema

revision, down_revision = "0001", None

GRANT = """
    enabled boolean NOT NULL,
    units_limit numeric CHECK (units_limit >= 0),
    hard boolean NOT NULL,
    reset text NOT NULL CHECK (reset IN ('billing_period', 'day', 'week', 'month', 'never')),
    value text NOT NULL
"""
TYPE = "text NOT NULL CHECK (type IN ('gate', 'usage_limit', 'configuration'))"

TABLES = {
    "organizations": """
        organization_id uuid PRIMARY KEY,
        test_clock_now timestamptz,
        test_clock_revision bigint NOT NULL DEFAULT 0
    """,
    "revisions": "organization_id uuid PRIMARY KEY, revision bigint NOT NULL",
    "features": f"""
        organization_id uuid,
        code text,
        feature_id uuid NOT NULL,
        name text NOT NULL,
        description text NOT NULL,
        type {TYPE},
        metric_code text NOT NULL,
        created_at timestamptz NOT NULL,
        deleted_at timestamptz,
        PRIMARY KEY (organization_id, code)
    """,
    "plans": """
        organization_id uuid,
        plan_id uuid,
        code text NOT NULL,
        version integer NOT NULL,
        interval_unit text NOT NULL CHECK (interval_unit IN ('day', 'week', 'month')),
        interval_every integer NOT NULL CHECK (interval_every > 0),
        charged_monthly boolean NOT NULL,
        PRIMARY KEY (organization_id, plan_id)
    """,
    "plan_grants": f"""
        organization_id uuid,
        plan_id uuid,
        feature_code text,
        type {TYPE},
        metric_code text NOT NULL,
        {GRANT},
        PRIMARY KEY (organization_id, plan_id, feature_code)
    """,
    "subscriptions": """
        organization_id uuid,
        subscription_id uuid,
        external_id text NOT NULL,
        external_customer_id text NOT NULL,
        plan_id uuid NOT NULL,
        state text NOT NULL CHECK (state IN ('pending', 'active', 'terminated', 'canceled')),
        timezone text NOT NULL,
        alignment text NOT NULL CHECK (alignment IN ('calendar', 'anniversary')),
        started_at timestamptz NOT NULL,
        ending_at timestamptz,
        period_start timestamptz,
        period_end timestamptz,
        PRIMARY KEY (organization_id, subscription_id)
    """,
    "overrides": f"""
        organization_id uuid,
        external_customer_id text,
        external_subscription_id text,
        feature_code text,
        {GRANT},
        set_at timestamptz NOT NULL,
        PRIMARY KEY (organization_id, external_customer_id, external_subscription_id, feature_code)
    """,
    "entitlements": f"""
        organization_id uuid,
        subscription_id uuid,
        feature_code text,
        type {TYPE},
        source text NOT NULL CHECK (source IN ('plan', 'override')),
        metric_code text NOT NULL,
        {GRANT},
        consumed_units numeric NOT NULL DEFAULT 0 CHECK (consumed_units >= 0),
        consumed_since timestamptz,
        revision bigint NOT NULL DEFAULT 0,
        removed boolean NOT NULL DEFAULT false,
        PRIMARY KEY (organization_id, subscription_id, feature_code)
    """,
    "usage_totals": """
        organization_id uuid,
        subscription_id uuid,
        metric_code text,
        period_start timestamptz,
        period_end timestamptz NOT NULL,
        units numeric NOT NULL,
        revision bigint NOT NULL,
        PRIMARY KEY (organization_id, subscription_id, metric_code, period_start)
    """,
    "usage_counts": """
        organization_id uuid,
        subscription_id uuid,
        metric_code text,
        ever_units numeric NOT NULL,
        day_start timestamptz NOT NULL,
        day_units numeric NOT NULL,
        week_start timestamptz NOT NULL,
        week_units numeric NOT NULL,
        month_start timestamptz NOT NULL,
        month_units numeric NOT NULL,
        PRIMARY KEY (organization_id, subscription_id, metric_code)
    """,
    "holds": """
        organization_id uuid,
        hold_id uuid,
        subscription_id uuid NOT NULL,
        feature_code text NOT NULL,
        units numeric NOT NULL CHECK (units > 0),
        state text NOT NULL CHECK (state IN ('held', 'committed', 'released')),
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        settled_at timestamptz,
        PRIMARY KEY (organization_id, hold_id)
    """,
    "consumptions": """
        organization_id uuid,
        consumption_id uuid,
        subscription_id uuid NOT NULL,
        feature_code text NOT NULL,
        units numeric NOT NULL CHECK (units >= 0),
        request_id text NOT NULL,
        hold_id uuid,
        consumed_at timestamptz NOT NULL,
        PRIMARY KEY (organization_id, consumption_id)
    """,
}
INDEXES = (
    "CREATE INDEX plan_grants_by_feature ON plan_grants (organization_id, feature_code)",
    "CREATE INDEX subscriptions_by_customer ON subscriptions (organization_id, external_customer_id)",
    "CREATE INDEX subscriptions_by_external_id ON subscriptions (organization_id, external_id)",
    "CREATE INDEX subscriptions_by_plan ON subscriptions (organization_id, plan_id)",
    "CREATE INDEX overrides_by_feature ON overrides (organization_id, feature_code)",
    "CREATE INDEX entitlements_by_revision ON entitlements (organization_id, revision)",
    """
    CREATE INDEX holds_alive ON holds (organization_id, subscription_id, feature_code, expires_at)
    WHERE state = 'held'
    """,
    """
    CREATE INDEX consumptions_by_feature
    ON consumptions (organization_id, subscription_id, feature_code, consumed_at)
    """,
)
# A ledger is only added to, by requests and by jobs alike.
ONLY_ADDED = "SELECT, INSERT"


def upgrade() -> None:
    schema.publishing_tables(op)
    schema.following_tables(op)
    idempotency.create_table(op)
    for table, columns in TABLES.items():
        op.execute(f"CREATE TABLE {table} ({columns})")
        privileges = ONLY_ADDED if table == "consumptions" else schema.READ_WRITE
        schema.tenant_table(op, table, request=privileges, worker=privileges)
    for index in INDEXES:
        op.execute(index)


def downgrade() -> None:
    for table in (
        *reversed(TABLES),
        "requests",
        "consumer_leases",
        "consumer_members",
        "dead_letters",
        "inbox",
        "outbox_head",
        "outbox",
    ):
        op.execute(f"DROP TABLE {table}")
