"""What customers announce."""

from __future__ import annotations

from dataclasses import dataclass

from services.kernel.ids import OrganizationId
from services.rating.customers.customer import Customer


@dataclass(frozen=True, slots=True)
class CustomerChanged:
    """A customer was created or changed."""

    organization_id: OrganizationId
    customer: Customer
