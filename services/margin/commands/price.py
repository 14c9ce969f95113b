"""Importing the price catalog, and giving an organization a price of its own."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.checks import inside
from services.kernel.ids import OrganizationId, new_id
from services.margin.deps import Deps
from services.margin.domain.limits import MAX_COST, MAX_NAME_BYTES
from services.margin.domain.price import OVERRIDE, ProviderPrice, service_tier_named
from services.margin.store import price as store


def import_catalog(deps: Deps, tx: Connection) -> int:
    """Add the catalog's rows to the stored ones, once for each content; returns how many rows were added."""
    rows = deps.prices.all_rows()
    content_hash = hashlib.sha256("".join(sorted(row.id for row in rows)).encode()).digest()
    source = rows[0].source
    if store.is_imported(tx, source, content_hash):
        return 0
    store.add_import(tx, source, content_hash, rows)
    return len(rows)


def set_provider_price(deps: Deps, tx: Connection, organization: OrganizationId, price: ProviderPrice) -> ProviderPrice:
    """Give the organization its own price from an instant on; this adds a row and changes none.

    Raises:
        InvalidArgumentError: a name is missing or too long, the price is out of range, or the span is empty.
    """
    with inside("price") as checks:
        for name, text in (("provider", price.provider), ("model", price.model)):
            if not 1 <= len(text.encode()) <= MAX_NAME_BYTES:
                checks.refuse(name, "value_is_invalid", f"needs 1 to {MAX_NAME_BYTES} bytes")
        if len(price.service_tier.encode()) > MAX_NAME_BYTES:
            checks.refuse("service_tier", "value_is_too_long", f"has at most {MAX_NAME_BYTES} bytes")
        if not 0 <= price.amount_per_million <= MAX_COST:
            checks.refuse("amount_per_million", "value_is_out_of_range", f"is 0 to {MAX_COST}")
        if price.above_input_tokens < 0:
            checks.refuse("above_input_tokens", "value_is_out_of_range", "is 0 or more")
        if price.effective_from and price.effective_to and price.effective_to <= price.effective_from:
            checks.refuse("effective_to", "value_is_invalid", "lies after effective_from")
    named = replace(
        price,
        id=new_id(),
        provider=price.provider.lower(),
        model=price.model.lower(),
        service_tier=service_tier_named(price.service_tier),
        source=OVERRIDE,
    )
    store.add_override(tx, organization, named, deps.clock.now())
    return named
