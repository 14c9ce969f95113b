"""Kinds of credits, accounts, grants and the ledger of deductions. Whose rows are written, their account is locked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy.engine import Connection, Row

from services.chassis.page import Page
from services.entitlements.domain.credit_account import CreditAccount, CreditSystem, GivenGrant
from services.entitlements.domain.credit_balance import Snapshot, Use
from services.entitlements.domain.grant import BurnOrder, Grant, GrantSource
from services.entitlements.domain.recurrence import Recurrence
from services.kernel.cadence import CadenceUnit, Interval
from services.kernel.ids import OrganizationId

_SYSTEM = "credit_system_id::text, code, name, description, unit_name, burn_order, s.created_at"
_GRANT = (
    "g.grant_id::text, g.external_customer_id, g.amount, g.source, g.reference, g.priority, g.effective_at, "
    "g.expires_at, g.voided_at, g.recurrence_unit, g.recurrence_every, g.recurrence_anchor, g.created_at"
)


class AccountKey(NamedTuple):
    """Whose account of which credits."""

    external_customer_id: str
    system: CreditSystem


def add_system(tx: Connection, organization: OrganizationId, system: CreditSystem) -> bool:
    """Store a new kind of credits; whether its code was free."""
    stored = tx.exec_driver_sql(
        "INSERT INTO credit_systems (organization_id, credit_system_id, code, name, description, unit_name, "
        "burn_order, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (organization_id, code) DO NOTHING",
        (
            organization,
            system.id,
            system.code,
            system.name,
            system.description,
            system.unit_name,
            str(system.order),
            system.created_at,
        ),
    )
    return stored.rowcount == 1


def count_systems(tx: Connection, organization: OrganizationId) -> int:
    """How many kinds of credits there are."""
    found: int = tx.exec_driver_sql(
        "SELECT count(*) FROM credit_systems WHERE organization_id = %s", (organization,)
    ).scalar_one()
    return found


def find_system(tx: Connection, organization: OrganizationId, code: str) -> CreditSystem | None:
    """The kind of credits with this code."""
    row = tx.exec_driver_sql(
        f"SELECT {_SYSTEM} FROM credit_systems s WHERE organization_id = %s AND code = %s", (organization, code)
    ).first()
    return _system(row) if row else None


def system_page(tx: Connection, organization: OrganizationId, wanted: Page) -> tuple[Sequence[CreditSystem], int]:
    """A page of kinds of credits by code, with one more if there is a next page, and how many there are in total."""
    after = wanted.after[0] if wanted.after else ""
    rows = tx.exec_driver_sql(
        f"SELECT {_SYSTEM} FROM credit_systems s "
        "WHERE organization_id = %s AND code > %s ORDER BY code OFFSET %s LIMIT %s",
        (organization, after, wanted.skip, wanted.size + 1),
    )
    return [_system(row) for row in rows], count_systems(tx, organization)


def systems_of(tx: Connection, organization: OrganizationId, customer: str) -> list[CreditSystem]:
    """The kinds of credits that a customer was ever given, by code."""
    rows = tx.exec_driver_sql(
        f"SELECT {_SYSTEM.replace('credit_system_id', 's.credit_system_id')} FROM credit_systems s "
        "JOIN credit_accounts a ON a.organization_id = s.organization_id "
        "AND a.credit_system_id = s.credit_system_id "
        "WHERE a.organization_id = %s AND a.external_customer_id = %s ORDER BY code",
        (organization, customer),
    )
    return [_system(row) for row in rows]


def open_account(tx: Connection, organization: OrganizationId, key: AccountKey, *, at: datetime) -> None:
    """Open an account, unless there is one."""
    tx.exec_driver_sql(
        "INSERT INTO credit_accounts (organization_id, credit_system_id, external_customer_id, opened_at, last_at) "
        "VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (organization, key.system.id, key.external_customer_id, at, at),
    )


def lock_account(tx: Connection, organization: OrganizationId, key: AccountKey) -> CreditAccount | None:
    """An account, locked until the end of the transaction; None if nothing was ever given."""
    tx.exec_driver_sql(
        "SELECT 1 FROM credit_accounts "
        "WHERE organization_id = %s AND external_customer_id = %s AND credit_system_id = %s FOR UPDATE",
        (organization, key.external_customer_id, key.system.id),
    )
    return read_account(tx, organization, key)


def read_account(tx: Connection, organization: OrganizationId, key: AccountKey) -> CreditAccount | None:
    """An account with what is needed to evaluate it; None if nothing was ever given.

    One statement, so that snapshot, grants and deductions are those of one state.
    """
    account = (organization, key.external_customer_id, key.system.id)
    rows = tx.exec_driver_sql(
        f"SELECT a.last_at, coalesce(a.snapshot_at, a.opened_at) AS start_at, a.balances, "
        "(SELECT coalesce(jsonb_agg(jsonb_build_array(u.used_at, u.amount::text) ORDER BY u.used_at), '[]') "
        "FROM credit_uses u WHERE u.organization_id = a.organization_id "
        "AND u.external_customer_id = a.external_customer_id AND u.credit_system_id = a.credit_system_id "
        f"AND u.used_at >= coalesce(a.snapshot_at, a.opened_at)) AS uses, {_GRANT} "
        "FROM credit_accounts a LEFT JOIN credit_grants g ON g.organization_id = a.organization_id "
        "AND g.external_customer_id = a.external_customer_id AND g.credit_system_id = a.credit_system_id "
        "AND coalesce(least(g.expires_at, g.voided_at), 'infinity') > coalesce(a.snapshot_at, a.opened_at) "
        "WHERE a.organization_id = %s AND a.external_customer_id = %s AND a.credit_system_id = %s",
        account,
    ).all()
    if not rows:
        return None
    first = rows[0]
    balances = {id_: Decimal(balance) for id_, balance in first.balances.items()}
    return CreditAccount(
        key.system,
        key.external_customer_id,
        first.last_at,
        Snapshot(first.start_at, balances),
        [_given(row, key.system.code) for row in rows if row.grant_id is not None],
        [Use(datetime.fromisoformat(at), Decimal(amount)) for at, amount in first.uses],
    )


def add_grant(tx: Connection, organization: OrganizationId, key: AccountKey, given: GivenGrant) -> None:
    """Store a new grant."""
    grant, recurrence = given.grant, given.grant.recurrence
    tx.exec_driver_sql(
        "INSERT INTO credit_grants (organization_id, grant_id, credit_system_id, external_customer_id, amount, source, "
        "reference, priority, effective_at, expires_at, recurrence_unit, recurrence_every, recurrence_anchor, "
        "created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            *(organization, grant.id, key.system.id, key.external_customer_id, grant.amount, str(grant.source)),
            *(given.reference, grant.priority, grant.effective_at, grant.expires_at),
            recurrence and str(recurrence.interval.unit),
            recurrence and recurrence.interval.every,
            recurrence and recurrence.anchor,
            grant.created_at,
        ),
    )


def find_grant(tx: Connection, organization: OrganizationId, grant_id: str) -> tuple[AccountKey, GivenGrant] | None:
    """A grant and the account that it belongs to."""
    row = tx.exec_driver_sql(
        f"SELECT {_GRANT}, s.code AS system_code FROM credit_grants g JOIN credit_systems s "
        "ON s.organization_id = g.organization_id AND s.credit_system_id = g.credit_system_id "
        "WHERE g.organization_id = %s AND g.grant_id = %s::uuid",
        (organization, grant_id),
    ).first()
    system = find_system(tx, organization, row.system_code) if row else None
    if row is None or system is None:
        return None
    return AccountKey(row.external_customer_id, system), _given(row, system.code)


def void_grant(tx: Connection, organization: OrganizationId, grant_id: str, *, at: datetime) -> None:
    """Store that a grant was taken back."""
    tx.exec_driver_sql(
        "UPDATE credit_grants SET voided_at = %s WHERE organization_id = %s AND grant_id = %s::uuid",
        (at, organization, grant_id),
    )


def add_use(
    tx: Connection,
    organization: OrganizationId,
    key: AccountKey,
    use: Use,
    burned: Mapping[str, Decimal],
    request_id: str,
) -> None:
    """Write down a deduction and what it took of which grant."""
    tx.exec_driver_sql(
        "INSERT INTO credit_uses (organization_id, credit_system_id, external_customer_id, used_at, amount, burned, "
        "request_id) VALUES (%s, %s, %s, %s, %s, %s::jsonb, %s)",
        (
            *(organization, key.system.id, key.external_customer_id, use.at, use.units),
            *(_json(burned), request_id),
        ),
    )


def touch(tx: Connection, organization: OrganizationId, key: AccountKey, *, at: datetime) -> None:
    """Store the instant of what happened last."""
    tx.exec_driver_sql(
        "UPDATE credit_accounts SET last_at = %s "
        "WHERE organization_id = %s AND external_customer_id = %s AND credit_system_id = %s",
        (at, organization, key.external_customer_id, key.system.id),
    )


def save_snapshot(tx: Connection, organization: OrganizationId, key: AccountKey, snapshot: Snapshot) -> None:
    """Store figures from which later evaluations go on."""
    tx.exec_driver_sql(
        "UPDATE credit_accounts SET snapshot_at = %s, balances = %s::jsonb "
        "WHERE organization_id = %s AND external_customer_id = %s AND credit_system_id = %s",
        (snapshot.at, _json(snapshot.balances), organization, key.external_customer_id, key.system.id),
    )


def _json(amounts: Mapping[str, Decimal]) -> str:
    """Amounts by grant. They are texts, for a number in JSON may be read as a float."""
    return json.dumps({id_: f"{amount:f}" for id_, amount in amounts.items()})


def _system(row: Row[tuple[object, ...]]) -> CreditSystem:
    return CreditSystem(
        row.credit_system_id,
        row.code,
        row.name,
        row.description,
        row.unit_name,
        BurnOrder(row.burn_order),
        row.created_at,
    )


def _given(row: Row[tuple[object, ...]], system_code: str) -> GivenGrant:
    recurrence = None
    if row.recurrence_unit is not None:
        interval = Interval(CadenceUnit(row.recurrence_unit), row.recurrence_every)
        recurrence = Recurrence(interval, row.recurrence_anchor)
    grant = Grant(
        id=row.grant_id,
        amount=row.amount,
        effective_at=row.effective_at,
        created_at=row.created_at,
        expires_at=row.expires_at,
        voided_at=row.voided_at,
        priority=row.priority,
        recurrence=recurrence,
        source=GrantSource(row.source),
    )
    return GivenGrant(row.external_customer_id, system_code, row.reference, grant)
