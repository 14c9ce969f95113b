"""Alembic's entry point for the ingest service."""

from services.chassis.migrate import run_env

run_env()
