"""Alembic's environment of this service."""

from services.chassis.migrate import run_env
from services.entitlements.tables import METADATA

run_env(METADATA)
