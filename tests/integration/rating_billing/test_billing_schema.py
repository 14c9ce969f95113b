"""The migrations make exactly the tables that the code knows."""

from __future__ import annotations

from collections.abc import Callable

from services.chassis import migrate
from services.chassis.config import Settings


def test_migrations_equal_tables_and_go_back(settings_for: Callable[[str], Settings]) -> None:
    url = settings_for("rating").database_url.get_secret_value()
    migrate.check("services.rating", url)
    migrate.downgrade("services.rating", url, "0001")
    assert migrate.migrate("services.rating", url) is not None
    migrate.check("services.rating", url)
