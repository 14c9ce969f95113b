"""Credits: their kinds, the accounts of customers, grants, and the ledger of what was burned."""

from alembic import op

from services.chassis import schema

revision, down_revision = "0005", "0004"


def upgrade() -> None:
    _accounts()
    _movements()
    schema.tenant_table(op, "credit_systems")
    schema.tenant_table(op, "credit_accounts")
    schema.tenant_table(op, "credit_grants")
    schema.tenant_table(op, "credit_uses", request="SELECT, INSERT", worker="SELECT")


def _accounts() -> None:
    op.execute(
        """
        CREATE TABLE credit_systems (
            organization_id uuid NOT NULL,
            credit_system_id uuid NOT NULL,
            code text NOT NULL,
            name text NOT NULL,
            description text NOT NULL,
            unit_name text NOT NULL,
            burn_order text NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (organization_id, credit_system_id),
            UNIQUE (organization_id, code)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE credit_accounts (
            organization_id uuid NOT NULL,
            credit_system_id uuid NOT NULL,
            external_customer_id text NOT NULL,
            opened_at timestamptz NOT NULL,
            last_at timestamptz NOT NULL,
            snapshot_at timestamptz,
            balances jsonb NOT NULL DEFAULT '{}',
            PRIMARY KEY (organization_id, external_customer_id, credit_system_id),
            FOREIGN KEY (organization_id, credit_system_id) REFERENCES credit_systems
        )
        """
    )


def _movements() -> None:
    op.execute(
        """
        CREATE TABLE credit_grants (
            organization_id uuid NOT NULL,
            grant_id uuid NOT NULL,
            credit_system_id uuid NOT NULL,
            external_customer_id text NOT NULL,
            amount numeric NOT NULL CHECK (amount > 0),
            source text NOT NULL,
            reference text NOT NULL,
            priority smallint NOT NULL,
            effective_at timestamptz NOT NULL,
            expires_at timestamptz,
            voided_at timestamptz,
            recurrence_unit text,
            recurrence_every integer,
            recurrence_anchor timestamptz,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (organization_id, grant_id)
        )
        """
    )
    op.execute(
        "CREATE INDEX credit_grants_of_account "
        "ON credit_grants (organization_id, external_customer_id, credit_system_id)"
    )
    op.execute(
        """
        CREATE TABLE credit_uses (
            organization_id uuid NOT NULL,
            credit_system_id uuid NOT NULL,
            external_customer_id text NOT NULL,
            used_at timestamptz NOT NULL,
            amount numeric NOT NULL CHECK (amount > 0),
            burned jsonb NOT NULL,
            request_id text NOT NULL,
            PRIMARY KEY (organization_id, external_customer_id, credit_system_id, used_at)
        )
        """
    )


def downgrade() -> None:
    for table in ("credit_uses", "credit_grants", "credit_accounts", "credit_systems"):
        op.execute(f"DROP TABLE {table}")
