"""Prices, cost models, the cost ledger, accrued revenue, alerts, and what margin knows of others."""

from __future__ import annotations

from alembic import op

from services.chassis import idempotency
from services.chassis.schema import following_tables, grant, publishing_tables, tenant_table

revision = "0001"
down_revision = None

APPEND_ONLY = "SELECT, INSERT"
READ_ONLY = "SELECT"
NEVER_REMOVED = "SELECT, INSERT, UPDATE"

PRICES = """
CREATE TABLE catalog_imports (
    source text,
    content_hash bytea,
    row_count integer NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, content_hash)
);
CREATE TABLE catalog_prices (
    id uuid PRIMARY KEY,
    provider text NOT NULL,
    model text NOT NULL,
    token_type text NOT NULL,
    amount_per_million numeric NOT NULL,
    currency text NOT NULL,
    effective_from timestamptz,
    effective_to timestamptz,
    above_input_tokens bigint NOT NULL,
    daily_start time,
    daily_end time,
    source text NOT NULL
);
CREATE INDEX catalog_prices_by_model ON catalog_prices (model, provider);
CREATE TABLE price_overrides (
    organization_id uuid,
    id uuid,
    provider text NOT NULL,
    model text NOT NULL,
    token_type text NOT NULL,
    amount_per_million numeric NOT NULL,
    currency text NOT NULL,
    effective_from timestamptz,
    effective_to timestamptz,
    above_input_tokens bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE TABLE cost_models (
    organization_id uuid,
    id uuid,
    name text NOT NULL,
    metric_code text NOT NULL,
    rule jsonb NOT NULL,
    currency text NOT NULL,
    effective_from timestamptz,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX cost_models_by_metric ON cost_models (organization_id, metric_code)
"""

COSTS = """
CREATE TABLE cost_events (
    organization_id uuid,
    cost_event_id text,
    natural_key bytea,
    content_hash bytea NOT NULL,
    external_customer_id text NOT NULL,
    parent_transaction_id text NOT NULL,
    request_id text NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, cost_event_id)
);
CREATE UNIQUE INDEX cost_events_by_natural_key ON cost_events (organization_id, natural_key)
    WHERE natural_key IS NOT NULL;
CREATE INDEX cost_events_waiting ON cost_events (recorded_at) WHERE external_customer_id = '';
CREATE TABLE cost_entries (
    organization_id uuid,
    id uuid,
    kind text NOT NULL,
    source text NOT NULL,
    source_id text NOT NULL,
    reverses_id uuid,
    external_customer_id text NOT NULL,
    subscription_id uuid,
    code text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    token_type text NOT NULL,
    units numeric NOT NULL,
    unit_amount numeric,
    amount numeric,
    currency text NOT NULL,
    price_id uuid,
    entry_count smallint NOT NULL,
    occurred_at timestamptz NOT NULL,
    parent_transaction_id text NOT NULL,
    request_id text NOT NULL,
    operation_key text NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX cost_entries_by_source ON cost_entries (organization_id, source_id);
CREATE INDEX cost_entries_by_time ON cost_entries (organization_id, occurred_at);
CREATE UNIQUE INDEX cost_entries_reversed_once ON cost_entries (organization_id, reverses_id)
    WHERE reverses_id IS NOT NULL;
CREATE TABLE cost_hours (
    organization_id uuid,
    hour timestamptz,
    external_customer_id text,
    subscription_id uuid,
    source text,
    code text,
    provider text,
    model text,
    token_type text,
    currency text,
    units numeric NOT NULL,
    amount numeric NOT NULL,
    entry_count bigint NOT NULL,
    unpriced_count bigint NOT NULL,
    PRIMARY KEY (
        organization_id, hour, external_customer_id, subscription_id, source,
        code, provider, model, token_type, currency
    )
);
CREATE TABLE usage_parents (
    organization_id uuid,
    transaction_id text,
    external_customer_id text NOT NULL,
    subscription_id uuid,
    PRIMARY KEY (organization_id, transaction_id)
)
"""

REVENUE = """
CREATE TABLE accruals (
    organization_id uuid,
    subscription_id uuid,
    period_start timestamptz,
    period_end timestamptz NOT NULL,
    revision bigint NOT NULL,
    external_customer_id text NOT NULL,
    plan_code text NOT NULL,
    currency text NOT NULL,
    PRIMARY KEY (organization_id, subscription_id, period_start)
);
CREATE TABLE accrual_entries (
    organization_id uuid,
    subscription_id uuid,
    period_start timestamptz,
    position integer,
    kind text NOT NULL,
    metric_code text NOT NULL,
    span_start timestamptz NOT NULL,
    span_end timestamptz NOT NULL,
    amount numeric NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    PRIMARY KEY (organization_id, subscription_id, period_start, position)
)
"""

PROJECTIONS = """
CREATE TABLE metrics (
    organization_id uuid,
    code text,
    sums boolean NOT NULL,
    field_name text NOT NULL,
    PRIMARY KEY (organization_id, code)
);
CREATE TABLE subscriptions (
    organization_id uuid,
    id uuid,
    external_customer_id text NOT NULL,
    plan_code text NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX subscriptions_by_customer ON subscriptions (organization_id, external_customer_id);
CREATE TABLE test_clocks (
    organization_id uuid PRIMARY KEY,
    clock_now timestamptz NOT NULL,
    revision bigint NOT NULL
)
"""

ALERTS = """
CREATE TABLE alerts (
    organization_id uuid,
    id uuid,
    code text NOT NULL,
    name text NOT NULL,
    metric text NOT NULL,
    external_customer_id text NOT NULL,
    warning_threshold numeric NOT NULL,
    critical_threshold numeric,
    recovery_threshold numeric,
    raise_after interval NOT NULL,
    clear_after interval NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT alerts_code UNIQUE (organization_id, code)
)
"""

TABLES = (
    *("catalog_imports", "catalog_prices", "price_overrides", "cost_models", "cost_events", "cost_entries"),
    "cost_hours",
    *("usage_parents", "accruals", "accrual_entries", "metrics", "subscriptions", "test_clocks", "alerts"),
)
CHASSIS_TABLES = ("outbox", "outbox_head", "inbox", "dead_letters", "consumer_members", "consumer_leases", "requests")


def upgrade() -> None:
    publishing_tables(op)
    following_tables(op)
    idempotency.create_table(op)
    for statements in (PRICES, COSTS, REVENUE, PROJECTIONS, ALERTS):
        for statement in statements.split(";"):
            op.execute(statement)
    # Price lists belong to no tenant: every tenant may read them, and only the import writes them.
    for table in ("catalog_imports", "catalog_prices"):
        grant(op, table, request=READ_ONLY, worker=APPEND_ONLY)
    # The ledger and the prices only grow: neither role may change or remove a row.
    for table in ("price_overrides", "cost_entries"):
        tenant_table(op, table, request=APPEND_ONLY, worker=APPEND_ONLY)
    for table in ("cost_models", "alerts"):
        tenant_table(op, table)
    tenant_table(op, "cost_events", request=APPEND_ONLY, worker=NEVER_REMOVED)
    tenant_table(op, "cost_hours", request=NEVER_REMOVED, worker=NEVER_REMOVED)
    for table in ("usage_parents", "accruals", "accrual_entries", "metrics", "subscriptions", "test_clocks"):
        tenant_table(op, table, request=READ_ONLY)


def downgrade() -> None:
    for table in (*TABLES, *CHASSIS_TABLES):
        op.execute(f"DROP TABLE {table}")
