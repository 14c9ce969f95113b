"""A migration can be taken back: what it made is gone, and the second way up ends where the first did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from services.chassis.config import Settings
from services.chassis.migrate import downgrade, migrate

# Everything that migrations make: columns, indexes, constraints, policies, privileges.
SHAPE = """
SELECT 'column', table_name, column_name || ' ' || data_type || ' ' || is_nullable || coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'policy', tablename, policyname || ' ' || coalesce(qual, '') || coalesce(with_check, '')
FROM pg_policies WHERE schemaname = 'public'
UNION ALL SELECT 'privilege', table_name, grantee || ' ' || privilege_type FROM information_schema.role_table_grants
WHERE table_schema = 'public'
"""
OF_ALEMBIC = "alembic_version"


def shape_of(url: str) -> set[tuple[Any, ...]]:
    """What a database is made of."""
    with psycopg.connect(url) as connection:
        return {row for row in connection.execute(SHAPE) if row[1] != OF_ALEMBIC}


@pytest.mark.parametrize("service", ["ingest", "rating", "entitlements", "margin"])
def test_down_and_up_again(service: str, settings_for: Callable[[str], Settings]) -> None:
    """Nothing is left at the bottom, and nothing is different at the top."""
    package, url = f"services.{service}", settings_for(service).database_url.get_secret_value()
    head, before = migrate(package, url), shape_of(url)
    assert len(before) > 100
    downgrade(package, url, "base")
    assert shape_of(url) == set()
    assert migrate(package, url) == head
    assert shape_of(url) == before
