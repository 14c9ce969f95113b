"""Add-ons: created, changed, removed. What has been invoiced keeps its price."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.checks import inside
from services.kernel.errors import AlreadyExistsError
from services.kernel.ids import OrganizationId, new_id
from services.rating.catalog.store import add_ons as store
from services.rating.catalog.store.taxes import taxes_by_code
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import AddOn


def create_add_on(deps: Deps, tx: Connection, organization: OrganizationId, draft: AddOn) -> AddOn:
    """Store a new add-on.

    Raises:
        AlreadyExistsError: `ADD_ON_EXISTS`.
        InvalidArgumentError: it names a tax that does not exist.
    """
    _require_taxes(tx, organization, draft, known=())
    made = replace(draft, add_on_id=new_id(), created_at=now_of(deps, tx, organization))
    if not store.insert_add_on(tx, organization, made):
        raise AlreadyExistsError("ADD_ON_EXISTS", f"an add-on has the code {made.code!r}", code=made.code)
    return made


def update_add_on(tx: Connection, organization: OrganizationId, code: str, revise: Callable[[AddOn], AddOn]) -> AddOn:
    """Change the add-on with this code: `revise` turns its content into the new one, and it is locked meanwhile.

    Raises:
        NotFoundError: `ADD_ON_UNKNOWN`.
        InvalidArgumentError: it newly names a tax that does not exist.
    """
    current = store.add_on(tx, organization, code, lock=True)
    changed = replace(revise(current), add_on_id=current.add_on_id, created_at=current.created_at)
    _require_taxes(tx, organization, changed, known=current.tax_codes)
    store.save_add_on(tx, organization, changed)
    return changed


def delete_add_on(tx: Connection, organization: OrganizationId, code: str) -> AddOn:
    """Remove an add-on, so that its code is free again.

    Raises:
        NotFoundError: `ADD_ON_UNKNOWN`.
    """
    removed = store.add_on(tx, organization, code, lock=True)
    store.delete_add_on(tx, organization, removed)
    return removed


def _require_taxes(tx: Connection, organization: OrganizationId, add_on: AddOn, *, known: Collection[str]) -> None:
    """Refuse codes that no tax has; those that it named before may be gone by now."""
    named = {*known, *taxes_by_code(tx, organization, set(add_on.tax_codes) - set(known))}
    with inside("add_on") as checks:
        for number, code in enumerate(add_on.tax_codes):
            if code not in named:
                checks.refuse(f"tax_codes[{number}]", "value_is_invalid", f"no tax has the code {code[:80]!r}")
