"""Billing periods, usage aggregates, invoices, fees, credit notes."""

from __future__ import annotations

from alembic import op

from services.chassis import schema

revision = "0002"
down_revision = "0001"

TENANT_TABLES = {
    "billing_periods": """
        organization_id uuid NOT NULL,
        subscription_id uuid NOT NULL,
        period_start timestamptz NOT NULL,
        period_end timestamptz NOT NULL,
        customer_id uuid NOT NULL,
        state text DEFAULT 'open' NOT NULL,
        invoice_id uuid,
        is_dirty boolean DEFAULT false NOT NULL,
        accrual_revision bigint DEFAULT 0 NOT NULL,
        is_accrual_due boolean DEFAULT true NOT NULL,
        PRIMARY KEY (organization_id, subscription_id, period_start),
        CONSTRAINT billing_periods_state CHECK (state IN ('open', 'closed')),
        CONSTRAINT billing_periods_order CHECK (period_start <= period_end)
    """,
    "usage_aggregates": """
        organization_id uuid NOT NULL,
        subscription_id uuid NOT NULL,
        period_start timestamptz NOT NULL,
        metric_code text NOT NULL,
        bucket text NOT NULL,
        aggregate_id bigint GENERATED ALWAYS AS IDENTITY,
        charge_id text DEFAULT '' NOT NULL,
        filter_key text DEFAULT '' NOT NULL,
        group_values jsonb,
        event_count bigint DEFAULT 0 NOT NULL,
        total numeric DEFAULT 0 NOT NULL,
        moment numeric DEFAULT 0 NOT NULL,
        carried numeric DEFAULT 0 NOT NULL,
        largest numeric,
        latest_at timestamptz,
        latest_event text,
        latest_value numeric,
        present_count bigint DEFAULT 0 NOT NULL,
        precise_amount numeric DEFAULT 0 NOT NULL,
        digest numeric(39) DEFAULT 0 NOT NULL,
        shard smallint DEFAULT 0 NOT NULL,
        revision bigint DEFAULT 1 NOT NULL,
        needs_recount boolean DEFAULT false NOT NULL,
        transactions jsonb,
        PRIMARY KEY (organization_id, subscription_id, period_start, metric_code, bucket)
    """,
    "usage_values": """
        organization_id uuid NOT NULL,
        aggregate_id bigint NOT NULL,
        value_key uuid NOT NULL,
        reference_count bigint NOT NULL,
        last_at timestamptz,
        last_event text NOT NULL,
        is_present boolean NOT NULL,
        is_carried boolean NOT NULL,
        PRIMARY KEY (organization_id, aggregate_id, value_key)
    """,
    "usage_days": """
        organization_id uuid NOT NULL,
        aggregate_id bigint NOT NULL,
        day date NOT NULL,
        units numeric NOT NULL,
        PRIMARY KEY (organization_id, aggregate_id, day)
    """,
    "usage_ahead": """
        organization_id uuid NOT NULL,
        subscription_id uuid NOT NULL,
        event_key uuid NOT NULL,
        occurred_at timestamptz NOT NULL,
        metric_code text NOT NULL,
        transaction_id text NOT NULL,
        properties text NOT NULL,
        precise_amount_cents numeric NOT NULL,
        shard smallint NOT NULL,
        number bigint NOT NULL,
        PRIMARY KEY (organization_id, subscription_id, event_key)
    """,
    "usage_corrections": """
        organization_id uuid NOT NULL,
        subscription_id uuid NOT NULL,
        period_start timestamptz NOT NULL,
        metric_code text NOT NULL,
        transaction_id text NOT NULL,
        is_void boolean NOT NULL,
        shard smallint NOT NULL,
        number bigint NOT NULL,
        PRIMARY KEY (organization_id, subscription_id, period_start, metric_code, transaction_id, is_void)
    """,
    "invoices": """
        organization_id uuid NOT NULL,
        invoice_id uuid NOT NULL,
        kind text NOT NULL,
        state text NOT NULL,
        payment_state text NOT NULL,
        sequential_id bigint,
        number text,
        customer_id uuid NOT NULL,
        customer jsonb NOT NULL,
        timezone text NOT NULL,
        currency text NOT NULL,
        subscription_ids uuid[] NOT NULL,
        period_start timestamptz,
        period_end timestamptz,
        fees_cents bigint NOT NULL,
        coupons_cents bigint NOT NULL,
        taxes_cents bigint NOT NULL,
        credit_notes_cents bigint NOT NULL,
        prepaid_credits_cents bigint NOT NULL,
        total_cents bigint NOT NULL,
        paid_cents bigint NOT NULL,
        coupons jsonb NOT NULL,
        taxes jsonb NOT NULL,
        credit_notes jsonb NOT NULL,
        terms jsonb NOT NULL,
        issuing_date date NOT NULL,
        payment_due_date date NOT NULL,
        created_at timestamptz NOT NULL,
        grace_ends_at timestamptz NOT NULL,
        finalized_at timestamptz,
        voided_at timestamptz,
        PRIMARY KEY (organization_id, invoice_id),
        CONSTRAINT invoices_number UNIQUE (organization_id, sequential_id),
        CONSTRAINT invoices_state CHECK (state IN ('draft', 'finalized', 'voided')),
        CONSTRAINT invoices_numbered_when_final CHECK ((state = 'draft') = (sequential_id IS NULL))
    """,
    "fees": """
        organization_id uuid NOT NULL,
        fee_id uuid NOT NULL,
        invoice_id uuid NOT NULL,
        position integer NOT NULL,
        kind text NOT NULL,
        name text NOT NULL,
        subscription_id uuid,
        plan_code text NOT NULL,
        charge_id text,
        charge_model text NOT NULL,
        metric_id text NOT NULL,
        metric_code text,
        metric_version integer NOT NULL,
        filter_key text NOT NULL,
        filter_name text NOT NULL,
        group_values jsonb NOT NULL,
        adjusts text,
        period_start timestamptz NOT NULL,
        period_end timestamptz NOT NULL,
        counted_period_start timestamptz,
        units numeric NOT NULL,
        event_count bigint NOT NULL,
        precise_amount numeric NOT NULL,
        amount_cents bigint NOT NULL,
        full_period_amount numeric,
        lines jsonb NOT NULL,
        taxes jsonb NOT NULL,
        taxes_cents bigint NOT NULL,
        coupon_amount numeric NOT NULL,
        shard smallint NOT NULL,
        watermark bigint NOT NULL,
        counted_events bigint NOT NULL,
        counted_units numeric NOT NULL,
        digest numeric(39) NOT NULL,
        PRIMARY KEY (organization_id, fee_id)
    """,
    "credit_notes": """
        organization_id uuid NOT NULL,
        credit_note_id uuid NOT NULL,
        invoice_id uuid NOT NULL,
        sequence integer NOT NULL,
        number text NOT NULL,
        customer_id uuid NOT NULL,
        external_customer_id text NOT NULL,
        currency text NOT NULL,
        reason text NOT NULL,
        description text NOT NULL,
        items jsonb NOT NULL,
        sub_total_cents bigint NOT NULL,
        taxes_cents bigint NOT NULL,
        credit_cents bigint NOT NULL,
        refund_cents bigint NOT NULL,
        offset_cents bigint NOT NULL,
        used_cents bigint NOT NULL,
        created_at timestamptz NOT NULL,
        voided_at timestamptz,
        PRIMARY KEY (organization_id, credit_note_id),
        CONSTRAINT credit_notes_sequence UNIQUE (organization_id, invoice_id, sequence),
        CONSTRAINT credit_notes_not_overused CHECK (used_cents BETWEEN 0 AND credit_cents)
    """,
}

INDEXES = (
    "CREATE INDEX billing_periods_accrual ON billing_periods (organization_id) WHERE is_accrual_due",
    "CREATE INDEX billing_periods_dirty ON billing_periods (organization_id, customer_id) WHERE is_dirty",
    "CREATE INDEX billing_periods_due ON billing_periods (period_end) WHERE state = 'open'",
    "CREATE INDEX billing_periods_open ON billing_periods (organization_id, period_end) WHERE state = 'open'",
    "CREATE INDEX invoices_grace ON invoices (grace_ends_at) WHERE state = 'draft'",
    "CREATE INDEX invoices_of_customer ON invoices (organization_id, customer_id, invoice_id)",
    "CREATE INDEX fees_of_invoice ON fees (organization_id, invoice_id)",
    "CREATE INDEX fees_of_subscription ON fees (organization_id, subscription_id, counted_period_start)",
    "CREATE INDEX credit_notes_of_customer ON credit_notes (organization_id, customer_id, credit_note_id)",
)


def upgrade() -> None:
    """Create everything."""
    for table, columns in TENANT_TABLES.items():
        op.execute(f"CREATE TABLE {table} ({columns})")
        schema.tenant_table(op, table)
    for index in INDEXES:
        op.execute(index)


def downgrade() -> None:
    """Drop everything; what was in it is lost."""
    for table in reversed(TENANT_TABLES):
        op.execute(f"DROP TABLE {table}")
