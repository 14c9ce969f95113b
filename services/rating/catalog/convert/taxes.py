"""Taxes: messages to domain and back."""

from __future__ import annotations

from datetime import UTC, datetime

from farebox.rating.v1 import catalog_service_pb2
from farebox.rating.v1 import tax_pb2 as pb
from services.kernel.checks import inside
from services.kernel.money import ZERO
from services.rating.pricing.catalog import CatalogTax
from services.rating.pricing.tax import Tax
from services.rating.shared.limits import require_code
from services.wire.masks import patched
from services.wire.values import decimal_of, decimal_to_pb, instant_to_pb

PATH = "tax"
# The fields that Farebox sets and nobody can change.
_GIVEN = ("id", "created_at")
# A draft has no identity and no creation time yet: the command sets both.
NOT_YET = datetime.min.replace(tzinfo=UTC)


def tax_from_pb(message: pb.Tax) -> CatalogTax:
    """The draft of a tax, or a refusal that names every wrong field."""
    with inside(PATH) as checks:
        checks(require_code, "code", message.code)
        rate_percent = checks.read(ZERO, decimal_of, message, "rate_percent")
        return CatalogTax(
            tax_id="",
            tax=Tax(message.code, rate_percent, message.name or message.code),
            created_at=NOT_YET,
            description=message.description,
            applied_to_organization=message.applied_to_organization,
        )


def revised_tax_from_pb(request: catalog_service_pb2.UpdateTaxRequest, current: CatalogTax) -> CatalogTax:
    """The new content of a tax after a request that changes all or part of it, or a refusal that names its fields."""
    return tax_from_pb(patched(tax_to_pb(current), request, PATH, given=_GIVEN))


def tax_to_pb(tax: CatalogTax) -> pb.Tax:
    """The tax as it is."""
    return pb.Tax(
        id=tax.tax_id,
        code=tax.tax.code,
        name=tax.tax.name,
        description=tax.description,
        rate_percent=decimal_to_pb(tax.tax.rate_percent),
        applied_to_organization=tax.applied_to_organization,
        created_at=instant_to_pb(tax.created_at),
    )
