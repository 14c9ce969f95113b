"""Runs margin's migrations (services.chassis.migrate)."""

from services.chassis.migrate import run_env
from services.margin.tables import METADATA

run_env(METADATA)
