"""Rating's migrations: up, the same as the tables, down again."""

from __future__ import annotations

from services.chassis.migrate import check, downgrade, migrate
from services.local.postgres_server import PostgresServer
from tests.support.servers import Templates


def test_tables_and_migrations_agree(templates: Templates) -> None:
    """Nobody changes a table without a migration."""
    url = templates.clone("rating")
    check("services.rating", url)
    templates.drop(url)


def test_down_and_up_again(postgres_server: PostgresServer, templates: Templates) -> None:
    url = templates.clone("rating")
    before = migrate("services.rating", url)
    downgrade("services.rating", url, "base")
    assert migrate("services.rating", url) == before
    templates.drop(url)
