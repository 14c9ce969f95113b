"""The tables of rating that its Core stores read and write (ADR 10); a test compares them with the schema."""

from __future__ import annotations

from services.rating.tables import catalog, subscriptions
from services.rating.tables.base import METADATA

__all__ = ["METADATA", "catalog", "subscriptions"]
