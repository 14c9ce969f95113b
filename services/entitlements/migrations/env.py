"""Alembic's entry point for the entitlements service."""

from services.chassis.migrate import run_env

run_env()
