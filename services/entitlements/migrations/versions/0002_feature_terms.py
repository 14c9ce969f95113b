"""What a plan gives of a feature is called terms: a grant will be of credit."""

from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE plan_grants RENAME TO plan_terms")
    op.execute("ALTER TABLE plan_terms RENAME CONSTRAINT plan_grants_pkey TO plan_terms_pkey")
    op.execute("ALTER INDEX plan_grants_by_feature RENAME TO plan_terms_by_feature")


def downgrade() -> None:
    op.execute("ALTER INDEX plan_terms_by_feature RENAME TO plan_grants_by_feature")
    op.execute("ALTER TABLE plan_terms RENAME CONSTRAINT plan_terms_pkey TO plan_grants_pkey")
    op.execute("ALTER TABLE plan_terms RENAME TO plan_grants")
