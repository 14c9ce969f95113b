"""Add-ons: messages to domain and back."""

from __future__ import annotations

from datetime import UTC, datetime

from farebox.rating.v1 import add_on_pb2 as pb
from farebox.rating.v1 import catalog_service_pb2
from services.kernel.checks import inside
from services.rating.pricing.catalog import AddOn
from services.wire.masks import patched
from services.wire.values import instant_to_pb

PATH = "add_on"
# The fields that Farebox sets and nobody can change.
_GIVEN = ("id", "created_at")
# A draft has no identity and no creation time yet: the command sets both.
NOT_YET = datetime.min.replace(tzinfo=UTC)


def add_on_from_pb(message: pb.AddOn) -> AddOn:
    """The draft of an add-on, or a refusal that names every wrong field."""
    with inside(PATH) as checks:
        if not message.HasField("amount_cents"):
            checks.refuse("amount_cents", "value_is_mandatory", "is required; an add-on that costs nothing says 0")
        return AddOn(
            add_on_id="",
            code=message.code,
            name=message.name,
            amount_cents=message.amount_cents,
            currency=message.currency,
            created_at=NOT_YET,
            invoice_display_name=message.invoice_display_name,
            description=message.description,
            tax_codes=tuple(message.tax_codes),
        )


def revised_add_on_from_pb(request: catalog_service_pb2.UpdateAddOnRequest, current: AddOn) -> AddOn:
    """The new content of an add-on after a change of all or part of it, or a refusal that names its fields."""
    return add_on_from_pb(patched(add_on_to_pb(current), request, PATH, given=_GIVEN))


def add_on_to_pb(add_on: AddOn) -> pb.AddOn:
    """The add-on as it is."""
    return pb.AddOn(
        id=add_on.add_on_id,
        code=add_on.code,
        name=add_on.name,
        invoice_display_name=add_on.invoice_display_name,
        description=add_on.description,
        amount_cents=add_on.amount_cents,
        currency=add_on.currency,
        tax_codes=add_on.tax_codes,
        created_at=instant_to_pb(add_on.created_at),
    )
