"""Kinds of revenue, which rating announces with an accrual and margin compares with cost."""

from __future__ import annotations

from enum import StrEnum


class RevenueKind(StrEnum):
    """The source of revenue."""

    USAGE = "usage"
    BASE = "base"
    OTHER = "other"
