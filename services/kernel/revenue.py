"""Kinds of revenue: what rating announces of an accrual, and margin sets against cost."""

from __future__ import annotations

from enum import StrEnum


class RevenueKind(StrEnum):
    """The source of revenue."""

    USAGE = "usage"
    BASE = "base"
    OTHER = "other"
