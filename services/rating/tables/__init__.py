"""Tables of rating's database; the migrations make them, and a test compares both."""

from __future__ import annotations

from services.rating.tables import catalog, invoices, subscriptions, usage
from services.rating.tables.base import METADATA

__all__ = ["METADATA", "catalog", "invoices", "subscriptions", "usage"]
