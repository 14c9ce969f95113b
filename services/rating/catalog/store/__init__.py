"""The catalog in SQL: one file each for metrics, plans, taxes and coupons. What others read most is exported here."""

from __future__ import annotations

from services.rating.catalog.store.metrics import metric, metric_version, metrics_by_code
from services.rating.catalog.store.plans import plan_version, plan_versions
from services.rating.catalog.store.taxes import taxes_by_code

__all__ = ["metric", "metric_version", "metrics_by_code", "plan_version", "plan_versions", "taxes_by_code"]
