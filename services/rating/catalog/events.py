"""What the catalog announces."""

from __future__ import annotations

from dataclasses import dataclass

from services.kernel.ids import OrganizationId
from services.rating.pricing.catalog import MetricVersion, PlanVersion


@dataclass(frozen=True, slots=True)
class BillableMetricChanged:
    """A metric was created, changed or removed."""

    organization_id: OrganizationId
    metric: MetricVersion


@dataclass(frozen=True, slots=True)
class PlanChanged:
    """A plan version was created, changed or withdrawn."""

    organization_id: OrganizationId
    plan: PlanVersion
