"""Rating's migrations: up, the same as the tables, down again."""

from __future__ import annotations

import pytest

from services.chassis.migrate import check, downgrade, migrate
from tests.support.servers import Templates


def test_tables_and_migrations_agree(templates: Templates) -> None:
    """Nobody changes a table without a migration."""
    url = templates.clone("rating")
    check("services.rating", url)
    templates.drop(url)


@pytest.mark.parametrize("revision", ["0001", "base"])
def test_down_and_up_again(revision: str, templates: Templates) -> None:
    """What a migration made, its way back takes away: the second way up finds nothing of it and ends the same."""
    url = templates.clone("rating")
    before = migrate("services.rating", url)
    downgrade("services.rating", url, revision)
    assert migrate("services.rating", url) == before
    check("services.rating", url)
    templates.drop(url)
