"""Plans: created, changed in place until they are sold and as versions afterwards, withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from services.kernel.errors import AlreadyExistsError
from services.kernel.ids import ChargeId, OrganizationId, PlanId, new_id
from services.rating.catalog.commands.references import settle_references
from services.rating.catalog.events import PlanChanged
from services.rating.catalog.store import plans as store
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import PlanVersion
from services.rating.pricing.plan import next_version, with_known_charges

# Placeholder for every instant, so that two versions are compared only by their content.
_ANY_TIME = datetime.min.replace(tzinfo=UTC)


def create_plan(deps: Deps, tx: Connection, organization: OrganizationId, draft: PlanVersion) -> PlanVersion:
    """Store the first version of a plan; its id, version and instants are set here.

    Raises:
        AlreadyExistsError: `PLAN_EXISTS`.
        InvalidArgumentError: a charge or a limit names a metric that does not exist, or the plan names such a tax.
    """
    settled = settle_references(deps, tx, organization, draft)
    # A withdrawn plan's code may be used again. Its version numbers continue, since invoices name them.
    version = store.newest_version(tx, organization, draft.plan.code) + 1
    made = replace(
        settled,
        plan_id=PlanId(new_id()),
        plan=replace(settled.plan, version=version),
        created_at=now_of(deps, tx, organization),
    )
    _insert(tx, organization, made)
    deps.announce(tx, PlanChanged(organization, made))
    return made


def update_plan(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    code: str,
    revise: Callable[[PlanVersion], PlanVersion],
) -> PlanVersion:
    """Change the content of a plan: in place as long as nobody has it, otherwise as its next version.

    Args:
        deps: what commands need.
        tx: the transaction.
        organization: the organization whose plan it is.
        code: the plan's code.
        revise: returns the new content for the current version, which is locked meanwhile.

    Raises:
        NotFoundError: `PLAN_UNKNOWN`.
        InvalidArgumentError: as for a new plan, or the currency differs.
    """
    current = store.current_plan(tx, organization, code, lock=True)
    draft = settle_references(deps, tx, organization, revise(current), current)
    if _content(draft) == _content(current):
        return _with_metadata(deps, tx, organization, current, draft.metadata)
    if not store.is_sold(tx, organization, current.plan_id):
        changed = replace(
            draft,
            plan_id=current.plan_id,
            plan=with_known_charges(replace(draft.plan, version=current.plan.version), current.plan),
            created_at=current.created_at,
        )
        store.save_plan(tx, organization, changed)
        deps.announce(tx, PlanChanged(organization, changed))
        return changed
    return _make_next_version(deps, tx, organization, current, draft)


def _with_metadata(
    deps: Deps, tx: Connection, organization: OrganizationId, current: PlanVersion, metadata: Mapping[str, str]
) -> PlanVersion:
    """The same version with other metadata, which is no term of what was sold."""
    if dict(metadata) == dict(current.metadata):
        return current
    changed = replace(current, metadata=metadata)
    store.save_plan(tx, organization, changed)
    deps.announce(tx, PlanChanged(organization, changed))
    return changed


def delete_plan(deps: Deps, tx: Connection, organization: OrganizationId, code: str) -> PlanVersion:
    """Withdraw a plan from sale; its subscriptions continue."""
    store.current_plan(tx, organization, code, lock=True)
    store.withdraw_plan(tx, organization, code, now_of(deps, tx, organization))
    versions = store.list_plan_versions(tx, organization, code)
    deps.announce_all(tx, [PlanChanged(organization, version) for version in reversed(versions)])
    return next(version for version in versions if version.is_current)


def _make_next_version(
    deps: Deps, tx: Connection, organization: OrganizationId, current: PlanVersion, draft: PlanVersion
) -> PlanVersion:
    made = replace(
        draft,
        plan_id=PlanId(new_id()),
        plan=next_version(current.plan, draft.plan),
        created_at=now_of(deps, tx, organization),
    )
    superseded = replace(current, is_current=False)
    store.save_plan(tx, organization, superseded)
    _insert(tx, organization, made)
    deps.announce_all(tx, [PlanChanged(organization, superseded), PlanChanged(organization, made)])
    return made


def _insert(tx: Connection, organization: OrganizationId, version: PlanVersion) -> None:
    if not store.insert_plan(tx, organization, version):
        code = version.plan.code
        raise AlreadyExistsError("PLAN_EXISTS", f"a plan has the code {code!r}", code=code)


def _content(version: PlanVersion) -> PlanVersion:
    """The content of a plan without what Farebox sets: two versions that are equal here are the same plan."""
    charges = tuple(replace(charge, charge_id=ChargeId("")) for charge in version.plan.charges)
    return replace(
        version,
        plan_id=PlanId(""),
        plan=replace(version.plan, version=1, charges=charges),
        created_at=_ANY_TIME,
        is_current=True,
        active_subscription_count=0,
        metadata={},
    )
