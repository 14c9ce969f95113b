"""Alembic's entry point for the ingest service."""

from services.chassis.migrate import run_env
from services.ingest.tables import METADATA

run_env(METADATA)
