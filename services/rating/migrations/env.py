"""Alembic's entry for rating's database."""

from services.chassis.migrate import run_env
from services.rating.tables import METADATA

run_env(METADATA)
