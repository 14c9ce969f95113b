"""Organizations, keys, catalog, customers, subscriptions, test clocks, and the tables of the chassis."""

from __future__ import annotations

from alembic import op

from services.chassis import idempotency, schema

revision = "0001"
down_revision = None

TENANT_TABLES = {
    "organizations": """
        organization_id uuid PRIMARY KEY,
        name text NOT NULL,
        test_mode boolean NOT NULL,
        default_currency text NOT NULL,
        timezone text NOT NULL,
        invoice_grace_period_days integer NOT NULL,
        duplicate_events text NOT NULL CHECK (duplicate_events IN ('accept', 'reject')),
        late_events text NOT NULL CHECK (late_events IN ('adjust', 'ignore')),
        invoice_prefix text NOT NULL,
        net_payment_term_days integer NOT NULL,
        created_at timestamptz NOT NULL,
        test_clock_now timestamptz,
        test_clock_revision bigint NOT NULL DEFAULT 0,
        CONSTRAINT only_test_mode_has_a_clock CHECK (test_mode OR test_clock_now IS NULL)
    """,
    "counters": """
        organization_id uuid,
        name text,
        last_number bigint NOT NULL,
        PRIMARY KEY (organization_id, name)
    """,
    "api_keys": """
        organization_id uuid,
        id uuid,
        digest bytea NOT NULL,
        kind text NOT NULL CHECK (kind IN ('secret', 'publishable')),
        hint text NOT NULL,
        name text NOT NULL,
        created_at timestamptz NOT NULL,
        revoked_at timestamptz,
        PRIMARY KEY (organization_id, id)
    """,
    "billable_metrics": """
        organization_id uuid,
        id uuid,
        version integer CHECK (version > 0),
        code text NOT NULL,
        name text NOT NULL,
        description text NOT NULL,
        aggregation text NOT NULL,
        field_name text,
        rounding text,
        rounding_precision integer NOT NULL,
        filters jsonb NOT NULL,
        recurring boolean NOT NULL,
        is_current boolean NOT NULL,
        created_at timestamptz NOT NULL,
        deleted_at timestamptz,
        PRIMARY KEY (organization_id, id, version)
    """,
    "plans": """
        organization_id uuid,
        id uuid,
        code text NOT NULL,
        version integer NOT NULL CHECK (version > 0),
        currency text NOT NULL,
        content jsonb NOT NULL,
        metric_codes text[] NOT NULL,
        is_current boolean NOT NULL,
        created_at timestamptz NOT NULL,
        deleted_at timestamptz,
        PRIMARY KEY (organization_id, id)
    """,
    "taxes": """
        organization_id uuid,
        id uuid,
        code text NOT NULL,
        name text NOT NULL,
        description text NOT NULL,
        rate_percent numeric NOT NULL CHECK (rate_percent BETWEEN 0 AND 100),
        applied_to_organization boolean NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (organization_id, id)
    """,
    "coupons": """
        organization_id uuid,
        id uuid,
        code text NOT NULL,
        name text NOT NULL,
        amount_cents bigint,
        currency text NOT NULL,
        rate_percent numeric,
        frequency text NOT NULL CHECK (frequency IN ('once', 'recurring', 'forever')),
        frequency_duration integer,
        plan_codes text[] NOT NULL,
        metric_codes text[] NOT NULL,
        expires_at timestamptz,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (organization_id, id),
        CONSTRAINT amount_or_rate CHECK ((amount_cents IS NULL) <> (rate_percent IS NULL))
    """,
    "customers": """
        organization_id uuid,
        id uuid,
        external_id text NOT NULL,
        sequential_id bigint NOT NULL,
        name text NOT NULL,
        email text NOT NULL,
        currency text NOT NULL,
        timezone text NOT NULL,
        address_lines text[] NOT NULL,
        country text NOT NULL,
        tax_identification_number text NOT NULL,
        invoice_grace_period_days integer,
        tax_codes text[] NOT NULL,
        metadata jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (organization_id, id)
    """,
    "applied_coupons": """
        organization_id uuid,
        id uuid,
        coupon_id uuid NOT NULL,
        customer_id uuid NOT NULL,
        amount_cents bigint,
        used_cents bigint NOT NULL,
        invoices_left integer,
        created_at timestamptz NOT NULL,
        terminated_at timestamptz,
        PRIMARY KEY (organization_id, id),
        FOREIGN KEY (organization_id, coupon_id) REFERENCES coupons (organization_id, id),
        FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id)
    """,
    "subscriptions": """
        organization_id uuid,
        id uuid,
        external_id text NOT NULL,
        customer_id uuid NOT NULL,
        plan_id uuid NOT NULL,
        name text NOT NULL,
        state text NOT NULL CHECK (state IN ('pending', 'active', 'terminated', 'canceled')),
        alignment text NOT NULL CHECK (alignment IN ('calendar', 'anniversary')),
        timezone text NOT NULL,
        anchor timestamptz NOT NULL,
        starts_at timestamptz NOT NULL,
        first_started_at timestamptz NOT NULL,
        ended_at timestamptz,
        base_ends_at timestamptz,
        ending_at timestamptz,
        trial_end_due_at timestamptz,
        change_at timestamptz,
        change_plan_code text,
        change_plan_version integer,
        end_resolution text NOT NULL,
        end_skips_invoice boolean NOT NULL,
        due_at timestamptz,
        previous_id uuid,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (organization_id, id),
        FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id),
        FOREIGN KEY (organization_id, plan_id) REFERENCES plans (organization_id, id),
        CONSTRAINT ended_when_it_says_so CHECK ((state IN ('terminated', 'canceled')) = (ended_at IS NOT NULL))
    """,
    "test_clock_acknowledgements": """
        organization_id uuid,
        service text,
        revision bigint NOT NULL,
        reached_at timestamptz NOT NULL,
        PRIMARY KEY (organization_id, service)
    """,
}

INDEXES = (
    "CREATE UNIQUE INDEX api_keys_by_digest ON api_keys (digest)",
    (
        "CREATE UNIQUE INDEX billable_metrics_by_code ON billable_metrics (organization_id, code) "
        "WHERE is_current AND deleted_at IS NULL"
    ),
    "CREATE UNIQUE INDEX plans_by_version ON plans (organization_id, code, version)",
    "CREATE UNIQUE INDEX plans_by_code ON plans (organization_id, code) WHERE is_current AND deleted_at IS NULL",
    "CREATE UNIQUE INDEX taxes_by_code ON taxes (organization_id, code)",
    "CREATE UNIQUE INDEX coupons_by_code ON coupons (organization_id, code)",
    "CREATE UNIQUE INDEX customers_by_external_id ON customers (organization_id, external_id)",
    (
        "CREATE UNIQUE INDEX applied_coupons_in_hand ON applied_coupons (organization_id, customer_id, coupon_id) "
        "WHERE terminated_at IS NULL"
    ),
    (
        "CREATE UNIQUE INDEX subscriptions_by_external_id ON subscriptions (organization_id, external_id) "
        "WHERE state IN ('pending', 'active')"
    ),
    "CREATE INDEX subscriptions_history ON subscriptions (organization_id, external_id, created_at)",
    "CREATE INDEX subscriptions_of_customer ON subscriptions (organization_id, customer_id)",
    "CREATE INDEX subscriptions_of_plan ON subscriptions (organization_id, plan_id, state)",
    "CREATE INDEX subscriptions_due ON subscriptions (due_at) WHERE due_at IS NOT NULL",
)


def upgrade() -> None:
    """Create everything."""
    schema.publishing_tables(op)
    schema.following_tables(op)
    # A test clock's advance waits, as a request, for what the followers of this service have applied.
    schema.grant(op, "inbox", request="SELECT")
    idempotency.create_table(op)
    for table, columns in TENANT_TABLES.items():
        op.execute(f"CREATE TABLE {table} ({columns})")
        schema.tenant_table(op, table)
    for index in INDEXES:
        op.execute(index)


def downgrade() -> None:
    """Drop everything; what was in it is lost."""
    for table in reversed(TENANT_TABLES):
        op.execute(f"DROP TABLE {table}")
    for table in (
        "requests", "consumer_leases", "consumer_members", "dead_letters", "inbox", "outbox_head", "outbox",
    ):  # fmt: skip
        op.execute(f"DROP TABLE {table}")
