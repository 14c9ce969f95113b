"""Coupons of the catalog: created, changed, withdrawn. Coupons that customers hold stay as they were given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.checks import inside
from services.kernel.errors import AlreadyExistsError
from services.kernel.ids import OrganizationId, new_id
from services.rating.catalog.store import coupons as store
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.catalog.store.plans import codes_on_sale
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import Coupon

_NOTHING: frozenset[str] = frozenset()


def create_coupon(deps: Deps, tx: Connection, organization: OrganizationId, draft: Coupon) -> Coupon:
    """Store a new coupon.

    Raises:
        AlreadyExistsError: `COUPON_EXISTS`.
        InvalidArgumentError: it is limited to a plan or metric that does not exist.
    """
    _check_references(tx, organization, draft, known_plans=_NOTHING, known_metrics=_NOTHING)
    made = replace(draft, coupon_id=new_id(), created_at=now_of(deps, tx, organization))
    if not store.insert_coupon(tx, organization, made):
        raise AlreadyExistsError("COUPON_EXISTS", f"a coupon has the code {made.terms.code!r}", code=made.terms.code)
    return made


def update_coupon(
    tx: Connection, organization: OrganizationId, code: str, revise: Callable[[Coupon], Coupon]
) -> Coupon:
    """Change the coupon with this code: `revise` turns its content into the new one, and it is locked meanwhile.

    Raises:
        NotFoundError: `COUPON_UNKNOWN`.
        InvalidArgumentError: the change limits it to a plan or metric that does not exist.
    """
    current = store.coupon(tx, organization, code, lock=True)
    changed = replace(revise(current), coupon_id=current.coupon_id, created_at=current.created_at)
    known = current.terms
    _check_references(
        tx,
        organization,
        changed,
        known_plans=frozenset(known.plan_codes),
        known_metrics=frozenset(known.metric_codes),
    )
    store.save_coupon(tx, organization, changed)
    return changed


def delete_coupon(deps: Deps, tx: Connection, organization: OrganizationId, code: str) -> Coupon:
    """Withdraw a coupon: no customer can be given it any more; customers who hold it keep it.

    Raises:
        NotFoundError: `COUPON_UNKNOWN`.
    """
    current = store.coupon(tx, organization, code, lock=True)
    withdrawn = replace(current, deleted_at=now_of(deps, tx, organization))
    store.save_coupon(tx, organization, withdrawn)
    return withdrawn


def _check_references(
    tx: Connection,
    organization: OrganizationId,
    coupon: Coupon,
    *,
    known_plans: frozenset[str],
    known_metrics: frozenset[str],
) -> None:
    """Refuse codes that a coupon newly names and that do not exist; those it named before may be gone by now."""
    plans = known_plans | codes_on_sale(tx, organization, set(coupon.terms.plan_codes) - known_plans)
    metrics = known_metrics | set(metrics_by_code(tx, organization, set(coupon.terms.metric_codes) - known_metrics))
    with inside("coupon") as checks:
        for name, codes, known in (
            ("plan_codes", coupon.terms.plan_codes, plans),
            ("metric_codes", coupon.terms.metric_codes, metrics),
        ):
            for number, code in enumerate(codes):
                if code not in known:
                    checks.refuse(f"{name}[{number}]", "value_is_invalid", f"nothing has the code {code[:80]!r}")
