"""Credits: begin a kind, give, take back, deduct.

Whoever changes an account holds its row from reading it to the commit, so no two deductions see the same credits,
whatever runs beside them, on one replica or several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.entitlements.deps import Deps
from services.entitlements.domain.credit_account import (
    CreditAccount,
    CreditSystem,
    GivenGrant,
    drawn,
    require_amount,
    require_known,
    require_owner,
    require_valid_system,
)
from services.entitlements.domain.credit_balance import Use
from services.entitlements.domain.feature import require_text
from services.entitlements.domain.limits import CHANGES_PER_SNAPSHOT, MAX_CODE, MAX_CREDIT_SYSTEMS, MAX_GRANTS
from services.entitlements.store import credit as credit_store
from services.entitlements.store import organization as organization_store
from services.entitlements.store.credit import AccountKey
from services.kernel.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    ResourceExhaustedError,
)
from services.kernel.ids import OrganizationId, new_id
from services.kernel.money import ZERO


@dataclass(frozen=True, slots=True)
class Deduction:
    """Credits to burn.

    Attributes:
        external_customer_id: whose.
        credit_system_code: which.
        amount: how many.
        request_id: identity of the deduction, for the ledger.
    """

    external_customer_id: str
    credit_system_code: str
    amount: Decimal
    request_id: str


@dataclass(frozen=True, slots=True)
class Deducted:
    """What a deduction came to.

    Attributes:
        is_allowed: whether there were enough.
        available: what is left.
        burned: what was taken of which grant, by its id.
    """

    is_allowed: bool
    available: Decimal
    burned: Mapping[str, Decimal]


def create_system(deps: Deps, tx: Connection, organization: OrganizationId, draft: CreditSystem) -> CreditSystem:
    """Begin a kind of credits.

    Raises:
        InvalidArgumentError: a field is wrong.
        AlreadyExistsError: `CREDIT_SYSTEM_EXISTS`.
        ResourceExhaustedError: `TOO_MANY_CREDIT_SYSTEMS`.
    """
    require_valid_system(draft)
    organization_store.lock(tx, [organization])
    if credit_store.count_systems(tx, organization) >= MAX_CREDIT_SYSTEMS:
        raise ResourceExhaustedError(
            "TOO_MANY_CREDIT_SYSTEMS", f"an organization has at most {MAX_CREDIT_SYSTEMS} credit systems"
        )
    system = replace(draft, id=new_id(), created_at=_now(deps, tx, organization))
    if not credit_store.add_system(tx, organization, system):
        raise AlreadyExistsError(
            "CREDIT_SYSTEM_EXISTS", f"a credit system has the code {draft.code!r}", code=draft.code
        )
    return system


def grant_credits(
    deps: Deps, tx: Connection, organization: OrganizationId, made: Callable[[datetime], GivenGrant]
) -> GivenGrant:
    """Give a customer credits.

    Args:
        deps: the service's dependencies.
        tx: the transaction.
        organization: the customer's organization.
        made: the grant without its id, for the instant at which it is given; may raise InvalidArgumentError.

    Raises:
        InvalidArgumentError: a field is wrong.
        NotFoundError: `CREDIT_SYSTEM_UNKNOWN`.
        ResourceExhaustedError: `TOO_MANY_GRANTS`.
    """
    now = _now(deps, tx, organization)
    draft = made(now)
    require_owner(draft)
    key = AccountKey(draft.external_customer_id, _system(tx, organization, draft.credit_system_code))
    credit_store.open_account(tx, organization, key, at=now)
    account = _locked(tx, organization, key)
    given = made(account.instant(now))
    at = given.grant.created_at
    alive = [grant for grant in account.grants if grant.ends_at is None or grant.ends_at > at]
    if len(alive) >= MAX_GRANTS:
        raise ResourceExhaustedError("TOO_MANY_GRANTS", f"a customer has at most {MAX_GRANTS} grants at a time")
    stored = replace(given, grant=replace(given.grant, id=new_id()))
    credit_store.add_grant(tx, organization, key, stored)
    credit_store.touch(tx, organization, key, at=at)
    if len(account.given) - len(alive) >= CHANGES_PER_SNAPSHOT:
        credit_store.save_snapshot(tx, organization, key, account.figures(at))
    return stored


def void_grant(deps: Deps, tx: Connection, organization: OrganizationId, grant_id: str) -> tuple[GivenGrant, Decimal]:
    """Take back what is left of a grant; what was burned of it stays burned.

    Returns:
        The grant as it is now, and how many credits were taken back.

    Raises:
        NotFoundError: `GRANT_UNKNOWN`.
        FailedPreconditionError: `GRANT_ENDED`.
    """
    found = credit_store.find_grant(tx, organization, grant_id)
    if found is None:
        raise NotFoundError("GRANT_UNKNOWN", "no grant has this id", grant_id=grant_id)
    key, _ = found
    account = _locked(tx, organization, key)
    at = account.instant(_now(deps, tx, organization))
    given = next((given for given in account.given if given.grant.id == grant_id), found[1])
    ends_at = given.grant.ends_at
    if ends_at is not None and ends_at <= at:
        raise FailedPreconditionError("GRANT_ENDED", f"the grant ended at {ends_at.isoformat()}", grant_id=grant_id)
    left = account.figures(at).balances[grant_id]
    credit_store.void_grant(tx, organization, grant_id, at=at)
    credit_store.touch(tx, organization, key, at=at)
    return replace(given, grant=replace(given.grant, voided_at=at)), left


def deduct(deps: Deps, tx: Connection, organization: OrganizationId, deduction: Deduction) -> Deducted:
    """Burn credits, all or none.

    Raises:
        InvalidArgumentError: a field is wrong.
        NotFoundError: `CREDIT_SYSTEM_UNKNOWN`.
    """
    require_text(deduction.external_customer_id, "external_customer_id", MAX_CODE)
    require_amount(deduction.amount)
    system = _system(tx, organization, deduction.credit_system_code)
    key = AccountKey(deduction.external_customer_id, system)
    account = credit_store.lock_account(tx, organization, key)
    if account is None:
        return Deducted(is_allowed=False, available=ZERO, burned={})
    use = Use(account.instant(_now(deps, tx, organization)), deduction.amount)
    figures = account.figures(use.at)
    burned = drawn(account.grants, figures, use.units)
    if burned is None:
        return Deducted(is_allowed=False, available=figures.balance, burned={})
    credit_store.add_use(tx, organization, key, use, burned, deduction.request_id)
    credit_store.touch(tx, organization, key, at=use.at)
    if len(account.uses) >= CHANGES_PER_SNAPSHOT:
        credit_store.save_snapshot(tx, organization, key, figures)
    return Deducted(is_allowed=True, available=figures.balance - use.units, burned=burned)


def _system(tx: Connection, organization: OrganizationId, code: str) -> CreditSystem:
    return require_known(credit_store.find_system(tx, organization, code), code)


def _locked(tx: Connection, organization: OrganizationId, key: AccountKey) -> CreditAccount:
    account = credit_store.lock_account(tx, organization, key)
    if account is None:
        raise ValueError(f"customer {key.external_customer_id!r} has a grant and no account")
    return account


def _now(deps: Deps, tx: Connection, organization: OrganizationId) -> datetime:
    return organization_store.times(tx, [organization], deps.clock.now())[organization]
