"""Alembic's entry point for the rating service."""

from services.chassis.migrate import run_env

run_env()
