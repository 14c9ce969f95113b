"""The migrations make exactly the tables that the code names, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable

from services.chassis import migrate
from services.chassis.config import Settings


def test_tables_are_what_migrations_make(settings_for: Callable[[str], Settings]) -> None:
    url = settings_for("ingest").database_url.get_secret_value()
    migrate.check("services.ingest", url)
    migrate.downgrade("services.ingest", url, "base")
    migrate.migrate("services.ingest", url)
