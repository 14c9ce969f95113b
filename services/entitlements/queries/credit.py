"""Kinds of credits, and what is left of a customer's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from services.chassis.page import Listed, Page
from services.entitlements.deps import Deps
from services.entitlements.domain.credit_account import CreditSystem, GivenGrant, require_known
from services.entitlements.domain.feature import require_text
from services.entitlements.domain.limits import MAX_CODE
from services.entitlements.store import credit as credit_store
from services.entitlements.store import organization as organization_store
from services.entitlements.store.credit import AccountKey
from services.kernel.ids import OrganizationId


class Balance(NamedTuple):
    """What is left of one kind of credits.

    Attributes:
        system: which credits.
        external_customer_id: whose.
        at: the instant of the figures.
        given: the grants that have not ended, in the order in which they are burned.
        remaining: what is left of each, by its id.
    """

    system: CreditSystem
    external_customer_id: str
    at: datetime
    given: Sequence[GivenGrant] = ()
    remaining: Mapping[str, Decimal] = {}


def list_systems(deps: Deps, organization: OrganizationId, page: Page) -> Listed[CreditSystem]:
    """A page of kinds of credits by code, and how many there are in all."""
    with deps.db.transaction(organization) as tx:
        systems, total = credit_store.system_page(tx, organization, page)
    return Listed.of(systems, page, lambda system: (system.code,), total=total)


def list_balances(
    deps: Deps, organization: OrganizationId, customer: str, system_code: str
) -> tuple[list[Balance], datetime]:
    """What is left of a customer's credits: of one kind, or of all that it was ever given if `system_code` is empty.

    Returns:
        The balances by code, and the latest instant of their figures.

    Raises:
        InvalidArgumentError: no customer is named.
        NotFoundError: `CREDIT_SYSTEM_UNKNOWN`.
    """
    require_text(customer, "external_customer_id", MAX_CODE)
    with deps.db.transaction(organization) as tx:
        now = organization_store.times(tx, [organization], deps.clock.now())[organization]
        systems = (
            [require_known(credit_store.find_system(tx, organization, system_code), system_code)]
            if system_code
            else credit_store.systems_of(tx, organization, customer)
        )
        balances = []
        for system in systems:
            account = credit_store.read_account(tx, organization, AccountKey(customer, system))
            if account is None:
                balances.append(Balance(system, customer, now))
                continue
            at = account.instant(now)
            by_id = {given.grant.id: given for given in account.given}
            alive = [grant for grant in account.grants if grant.ends_at is None or grant.ends_at > at]
            left = account.figures(at).balances
            balances.append(Balance(system, customer, at, [by_id[grant.id] for grant in alive], left))
    return balances, max((balance.at for balance in balances), default=now)
