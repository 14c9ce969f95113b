"""A customer's account of one kind of credits: what may be burned of it, and of which grants.

Every deduction has an instant of its own, later than the one before, so that the order of an account's deductions is
their order in time, also on a test clock that stands still and on replicas whose clocks differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from services.entitlements.domain.credit_balance import CreditBook, Snapshot, Use
from services.entitlements.domain.feature import require_text
from services.entitlements.domain.grant import (
    MAX_CREDITS,
    MAX_FRACTION_DIGITS,
    BurnOrder,
    Grant,
    credits_are_exact,
    in_burn_order,
)
from services.entitlements.domain.limits import MAX_CODE, MAX_DESCRIPTION, MAX_NAME
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError, NotFoundError

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CreditSystem:
    """Credits of one kind.

    Attributes:
        id: Farebox id.
        code: the organization's code.
        name: name for people.
        description: explanation for people.
        unit_name: what one credit is called.
        order: the order in which a customer's grants are burned; it never changes.
        created_at: when it was created.
    """

    id: str
    code: str
    name: str
    description: str
    unit_name: str
    order: BurnOrder
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GivenGrant:
    """A grant, and whose it is.

    Attributes:
        external_customer_id: the organization's id of the customer.
        credit_system_code: which credits.
        reference: the caller's own reference.
        grant: the grant.
    """

    external_customer_id: str
    credit_system_code: str
    reference: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class CreditAccount:
    """What one customer has of one kind of credits.

    Attributes:
        system: which credits.
        external_customer_id: whose they are.
        last_at: the instant of the last deduction or grant.
        snapshot: figures from which the evaluation goes on.
        given: the grants that had not ended at the snapshot.
        uses: what was deducted since the snapshot.
    """

    system: CreditSystem
    external_customer_id: str
    last_at: datetime
    snapshot: Snapshot
    given: Sequence[GivenGrant] = ()
    uses: Sequence[Use] = ()

    @property
    def grants(self) -> list[Grant]:
        """The grants in the order in which they are burned."""
        return in_burn_order((given.grant for given in self.given), self.system.order)

    def instant(self, now: datetime) -> datetime:
        """The instant of what happens now: later than everything that happened before."""
        return max(now, self.last_at + _INSTANT)

    def figures(self, at: datetime) -> Snapshot:
        """What is left at an instant, after everything that was deducted before it."""
        return CreditBook(self.grants, self.uses, order=self.system.order).evaluate(self.snapshot, at).snapshot


def drawn(grants: Sequence[Grant], figures: Snapshot, amount: Decimal) -> Mapping[str, Decimal] | None:
    """What is taken of which grant for an amount, in their order; None if there is not enough."""
    burned: dict[str, Decimal] = {}
    missing = amount
    for grant in grants:
        if taken := min(missing, figures.balances[grant.id]):
            burned[grant.id] = taken
            missing -= taken
    return None if missing else burned


def require_known(system: CreditSystem | None, code: str) -> CreditSystem:
    """The kind of credits that was looked for, or a NotFoundError `CREDIT_SYSTEM_UNKNOWN`."""
    if system is None:
        raise NotFoundError("CREDIT_SYSTEM_UNKNOWN", f"no credit system has code {code!r}", code=code)
    return system


def require_valid_system(system: CreditSystem) -> None:
    """Refuse texts that are missing or beyond their limits.

    Raises:
        InvalidArgumentError: names every wrong field.
    """
    with inside("credit_system") as checks:
        checks(require_text, system.code, "code", MAX_CODE)
        checks(require_text, system.name, "name", MAX_NAME)
        checks(require_text, system.description, "description", MAX_DESCRIPTION, is_mandatory=False)
        checks(require_text, system.unit_name, "unit_name", MAX_NAME)


def require_owner(given: GivenGrant) -> None:
    """Refuse texts of a grant that are missing or beyond their limits.

    Raises:
        InvalidArgumentError: names every wrong field.
    """
    with inside("grant") as checks:
        checks(require_text, given.external_customer_id, "external_customer_id", MAX_CODE)
        checks(require_text, given.credit_system_code, "credit_system_code", MAX_CODE)
        checks(require_text, given.reference, "reference", MAX_CODE, is_mandatory=False)


def require_amount(amount: Decimal) -> None:
    """Refuse an amount that no balance can hold.

    Raises:
        InvalidArgumentError: names the field.
    """
    if amount <= 0 or not credits_are_exact(amount):
        raise InvalidArgumentError.of_field(
            "amount",
            "value_is_out_of_range",
            f"is more than 0 and below {MAX_CREDITS:f}, with at most {MAX_FRACTION_DIGITS} fraction digits",
        )
