"""Alembic's entry point for the margin service."""

from services.chassis.migrate import run_env

run_env()
