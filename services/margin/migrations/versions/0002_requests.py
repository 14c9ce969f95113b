"""The request as the unit of costing: what cost events said, service tiers, waiting usage; organizations' currency."""

from __future__ import annotations

from alembic import op

from services.chassis.schema import grant, tenant_table

revision = "0002"
down_revision = "0001"

UPGRADE = """
ALTER TABLE catalog_prices ADD COLUMN service_tier text NOT NULL DEFAULT '';
ALTER TABLE price_overrides ADD COLUMN service_tier text NOT NULL DEFAULT '';
ALTER TABLE cost_events
    ADD COLUMN cost_meter_code text NOT NULL DEFAULT '',
    ADD COLUMN operation_key text NOT NULL DEFAULT '',
    ADD COLUMN provider text NOT NULL DEFAULT '',
    ADD COLUMN model text NOT NULL DEFAULT '',
    ADD COLUMN token_type text NOT NULL DEFAULT 'input',
    ADD COLUMN service_tier text NOT NULL DEFAULT '',
    ADD COLUMN tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN amount numeric,
    ADD COLUMN currency text NOT NULL DEFAULT 'USD';
DROP INDEX cost_events_waiting;
CREATE INDEX cost_events_by_request ON cost_events (organization_id, parent_transaction_id, request_id);
CREATE TABLE cost_requests (
    organization_id uuid,
    parent_transaction_id text,
    request_id text,
    revision bigint NOT NULL,
    PRIMARY KEY (organization_id, parent_transaction_id, request_id)
);
ALTER TABLE usage_parents ADD COLUMN has_cost_events boolean NOT NULL DEFAULT false;
CREATE TABLE waiting_usage (
    organization_id uuid,
    transaction_id text,
    code text NOT NULL,
    external_customer_id text NOT NULL,
    subscription_id uuid,
    occurred_at timestamptz NOT NULL,
    properties bytea NOT NULL,
    PRIMARY KEY (organization_id, transaction_id)
);
CREATE INDEX waiting_usage_by_metric ON waiting_usage (organization_id, code);
CREATE TABLE organizations (organization_id uuid PRIMARY KEY, default_currency text NOT NULL);
CREATE TABLE waiting_clocks (
    organization_id uuid PRIMARY KEY,
    clock_now timestamptz NOT NULL,
    revision bigint NOT NULL,
    positions jsonb NOT NULL
)
"""
DOWNGRADE = """
DROP TABLE waiting_clocks;
DROP TABLE organizations;
DROP TABLE waiting_usage;
ALTER TABLE usage_parents DROP COLUMN has_cost_events;
DROP TABLE cost_requests;
DROP INDEX cost_events_by_request;
CREATE INDEX cost_events_waiting ON cost_events (recorded_at) WHERE external_customer_id = '';
ALTER TABLE cost_events
    DROP COLUMN cost_meter_code, DROP COLUMN operation_key, DROP COLUMN provider, DROP COLUMN model,
    DROP COLUMN token_type, DROP COLUMN service_tier, DROP COLUMN tokens, DROP COLUMN amount, DROP COLUMN currency;
ALTER TABLE price_overrides DROP COLUMN service_tier;
ALTER TABLE catalog_prices DROP COLUMN service_tier
"""


def upgrade() -> None:
    for statement in UPGRADE.split(";"):
        op.execute(statement)
    tenant_table(op, "cost_requests", request="SELECT, INSERT, UPDATE", worker="SELECT")
    tenant_table(op, "waiting_usage", request="SELECT")
    for table in ("organizations", "waiting_clocks"):
        tenant_table(op, table, request="SELECT")
    # The transaction that records a cost event also records that its parent has one.
    grant(op, "usage_parents", request="INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def downgrade() -> None:
    for statement in DOWNGRADE.split(";"):
        op.execute(statement)
