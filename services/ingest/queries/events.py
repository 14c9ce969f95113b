"""Finding and listing events, under row-level security."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from services.chassis.db import Database
from services.chassis.page import Page, write_token
from services.chassis.streams import SHARD_COUNT
from services.ingest.domain import identity
from services.ingest.domain.found import Found
from services.ingest.domain.instant import from_us
from services.ingest.store import found as store
from services.ingest.store.found import Filter, Place
from services.kernel.errors import InvalidArgumentError, NotFoundError
from services.kernel.ids import OrganizationId, uuid_or_none

# Commits looked into at a time: the first few usually fill a page, a sparse list takes larger steps.
FIRST_STEP = 8
LARGEST_STEP = 512
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_KEY = uuid.UUID(int=0)


def get_usage_event(db: Database, organization: OrganizationId, transaction_id: str) -> Found:
    """The event with this transaction_id.

    Raises:
        NotFoundError: there is none.
    """
    name = uuid.UUID(organization)
    with db.transaction(organization) as tx:
        found = store.by_key(tx, name, identity.event_key(name.bytes, transaction_id.encode()))
    if found is None:
        raise NotFoundError("USAGE_EVENT_UNKNOWN", "no event has this transaction_id", transaction_id=transaction_id)
    return found


def list_usage_events(
    db: Database, organization: OrganizationId, wanted: Filter, page: Page
) -> tuple[list[Found], str]:
    """A page of the events that are wanted, in the order of receipt, and the token of the next page."""
    name = uuid.UUID(organization)
    after = _place(page)
    count = page.skip + page.size + 1
    events: list[Found] = []
    with db.transaction(organization) as tx:
        shards = _shards(tx, name, wanted)
        span = (_instant(wanted.from_us), _instant(wanted.until_us))
        step, begin = FIRST_STEP, after.commit_id
        while len(events) < count:
            commits = store.commits_after(tx, name, begin, shards=shards, occurred=span, limit=step)
            if not commits:
                break
            events += store.in_commits(tx, name, commits, after, wanted, count - len(events))
            begin, step = commits[-1] + 1, min(2 * step, LARGEST_STEP)
    return _cut(events[page.skip :], page)


def list_quarantined(db: Database, organization: OrganizationId, reason: str, page: Page) -> tuple[list[Found], str]:
    """A page of the events that cannot be billed yet, oldest first, and the token of the next page."""
    name = uuid.UUID(organization)
    after = _moment(page)
    with db.transaction(organization) as tx:
        places = store.quarantined_after(tx, name, after, reason, page.skip + page.size + 1)[page.skip :]
        found = store.by_keys(tx, name, [key for _, key in places[: page.size]])
    events = [found[key.bytes] for _, key in places[: page.size] if key.bytes in found]
    if len(places) <= page.size:
        return events, ""
    at, key = places[page.size - 1]
    return events, write_token(at.isoformat(), str(key))


def _cut(events: list[Found], page: Page) -> tuple[list[Found], str]:
    if len(events) <= page.size:
        return events, ""
    last = events[page.size - 1]
    return events[: page.size], write_token(str(last.commit_id), str(uuid.UUID(bytes=last.key)))


def _shards(tx: Connection, organization: uuid.UUID, wanted: Filter) -> list[int]:
    """The shards that may hold what is wanted: a customer's events are all in one."""
    customers = [wanted.customer] if wanted.customer else []
    if not customers and (wanted.external_subscription_id or wanted.subscription_id):
        customers = store.customers_of(
            tx,
            organization,
            external_id=wanted.external_subscription_id,
            subscription_id=wanted.subscription_id,
        )
    if not customers:
        return list(range(SHARD_COUNT))
    # Events that name no customer and could not be placed are filed under the empty one.
    return sorted({identity.shard_of(organization.bytes, customer, SHARD_COUNT) for customer in [*customers, ""]})


def _place(page: Page) -> Place:
    if not page.after:
        return Place(0, _FIRST_KEY)
    return Place(_number(page.after[0]), _key(page))


def _moment(page: Page) -> tuple[datetime, uuid.UUID]:
    if not page.after:
        return _NEVER, _FIRST_KEY
    try:
        at = datetime.fromisoformat(page.after[0])
    except ValueError as error:
        raise _foreign_token() from error
    if at.tzinfo is None:
        raise _foreign_token()
    return at, _key(page)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(2**62)):
        raise _foreign_token()
    return int(text)


def _key(page: Page) -> uuid.UUID:
    key = uuid_or_none(page.after[1]) if len(page.after) == len(("place", "key")) else None
    if key is None:
        raise _foreign_token()
    return key


def _foreign_token() -> InvalidArgumentError:
    return InvalidArgumentError.of_field("page.page_token", "value_is_invalid", "is not a token of this list")


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_us(microseconds)
