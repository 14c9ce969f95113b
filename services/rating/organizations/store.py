"""Organizations, their keys and their running numbers in SQL."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Listed, Page
from services.kernel.errors import NotFoundError
from services.kernel.ids import OrganizationId
from services.rating.organizations.organization import (
    ApiKey,
    ApiKeyKind,
    DuplicateUsageEvents,
    LateUsageEvents,
    Organization,
)
from services.rating.shared.rows import read_list
from services.rating.tables.catalog import API_KEYS, COUNTERS, ORGANIZATIONS


def insert_organization(tx: Connection, organization: Organization) -> None:
    """Store a new organization."""
    tx.execute(ORGANIZATIONS.insert().values(asdict(organization)))


def organization(tx: Connection, organization: OrganizationId, *, lock: bool = False) -> Organization:
    """The organization with this id; with `lock`, nobody else changes it until the transaction ends.

    Raises:
        NotFoundError: `ORGANIZATION_UNKNOWN`.
    """
    statement = sa.select(ORGANIZATIONS).where(ORGANIZATIONS.c.organization_id == organization)
    row = tx.execute(statement.with_for_update(key_share=True) if lock else statement).first()
    if row is None:
        raise NotFoundError("ORGANIZATION_UNKNOWN", "no organization has this id", organization_id=organization)
    return _organization(row)


def save_organization(tx: Connection, changed: Organization) -> None:
    """Replace an organization's settings."""
    own = ORGANIZATIONS.c.organization_id == changed.organization_id
    tx.execute(ORGANIZATIONS.update().where(own).values(asdict(changed)))


def _organization(row: Row[Any]) -> Organization:
    return Organization(
        organization_id=OrganizationId(row.organization_id),
        name=row.name,
        test_mode=row.test_mode,
        created_at=row.created_at,
        default_currency=row.default_currency,
        timezone=row.timezone,
        invoice_grace_period_days=row.invoice_grace_period_days,
        duplicate_events=DuplicateUsageEvents(row.duplicate_events),
        late_events=LateUsageEvents(row.late_events),
        invoice_prefix=row.invoice_prefix,
        net_payment_term_days=row.net_payment_term_days,
    )


def next_number(tx: Connection, organization: OrganizationId, name: str) -> int:
    """The next running number of this name, from 1; the counter is locked until the transaction ends."""
    statement = insert(COUNTERS).values(organization_id=organization, name=name, last_number=1)
    statement = statement.on_conflict_do_update(
        index_elements=[COUNTERS.c.organization_id, COUNTERS.c.name],
        set_={"last_number": COUNTERS.c.last_number + 1},
    )
    return int(tx.execute(statement.returning(COUNTERS.c.last_number)).scalar_one())


def insert_api_key(tx: Connection, key: ApiKey, digest: bytes) -> bool:
    """Store a new key; False if some organization has the same key already."""
    statement = insert(API_KEYS).values(
        organization_id=key.organization_id,
        id=key.api_key_id,
        digest=digest,
        kind=key.kind,
        hint=key.hint,
        name=key.name,
        created_at=key.created_at,
        revoked_at=key.revoked_at,
        scopes=list(key.scopes),
        expires_at=key.expires_at,
        replaces_id=key.replaces_id,
    )
    statement = statement.on_conflict_do_nothing(index_elements=[API_KEYS.c.digest])
    return tx.execute(statement.returning(API_KEYS.c.id)).first() is not None


def api_key_by_digest(tx: Connection, digest: bytes) -> ApiKey | None:
    """The key with this digest, of any organization, revoked or not; needs a worker transaction."""
    row = tx.execute(sa.select(API_KEYS).where(API_KEYS.c.digest == digest)).first()
    return _api_key(row) if row is not None else None


def api_key(tx: Connection, organization: OrganizationId, api_key_id: str) -> ApiKey:
    """A key of the organization, locked until the transaction ends.

    Raises:
        NotFoundError: `API_KEY_UNKNOWN`.
    """
    own = (API_KEYS.c.organization_id == organization) & (API_KEYS.c.id == api_key_id)
    row = tx.execute(sa.select(API_KEYS).where(own).with_for_update()).first()
    if row is None:
        raise _unknown(api_key_id)
    return _api_key(row)


def save_expiry(tx: Connection, key: ApiKey) -> None:
    """Store when a key stops working."""
    own = (API_KEYS.c.organization_id == key.organization_id) & (API_KEYS.c.id == key.api_key_id)
    tx.execute(API_KEYS.update().where(own).values(expires_at=key.expires_at))


def note_use(tx: Connection, key: ApiKey, at: datetime) -> None:
    """Note that a key was used, unless a later use is noted; needs a worker transaction."""
    own = (API_KEYS.c.organization_id == key.organization_id) & (API_KEYS.c.id == key.api_key_id)
    is_older = API_KEYS.c.last_used_at.is_(None) | (API_KEYS.c.last_used_at < at)
    tx.execute(API_KEYS.update().where(own & is_older).values(last_used_at=at))


def list_api_keys(tx: Connection, organization: OrganizationId, page: Page) -> Listed[ApiKey]:
    """The organization's keys, newest first."""
    statement = sa.select(API_KEYS).where(API_KEYS.c.organization_id == organization)
    return read_list(tx, statement, API_KEYS.c.id, page, _api_key, newest_first=True)


def revoke_api_key(tx: Connection, organization: OrganizationId, api_key_id: str, at: datetime) -> ApiKey:
    """Revoke a key; one that is revoked already keeps its time.

    Raises:
        NotFoundError: `API_KEY_UNKNOWN`.
    """
    own = (API_KEYS.c.organization_id == organization) & (API_KEYS.c.id == api_key_id)
    ended = API_KEYS.update().where(own).values(revoked_at=sa.func.coalesce(API_KEYS.c.revoked_at, at))
    row = tx.execute(ended.returning(API_KEYS)).first()
    if row is None:
        raise _unknown(api_key_id)
    return _api_key(row)


def _unknown(api_key_id: str) -> NotFoundError:
    return NotFoundError("API_KEY_UNKNOWN", "no key has this id", api_key_id=api_key_id)


def _api_key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        api_key_id=row.id,
        organization_id=OrganizationId(row.organization_id),
        kind=ApiKeyKind(row.kind),
        hint=row.hint,
        name=row.name,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        scopes=tuple(row.scopes),
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        replaces_id=row.replaces_id,
    )
