"""Finding and listing events, under row-level security."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from services.chassis.db import Database
from services.chassis.page import Listed, Page
from services.ingest.domain import identity
from services.ingest.domain.identity import LOWEST_KEY
from services.ingest.domain.stored_usage_event import StoredUsageEvent
from services.ingest.store import commits as commits_store
from services.ingest.store import quarantine
from services.ingest.store import stored_usage_events as store
from services.ingest.store.commits import Commit, Places
from services.ingest.store.quarantine import Wanted
from services.ingest.store.stored_usage_events import Filter, Position
from services.kernel.errors import InvalidArgumentError, NotFoundError
from services.kernel.ids import OrganizationId, uuid_or_none
from services.kernel.instant import from_us
from services.wire.shards import SHARD_COUNT

# How many commits are searched at a time: the first few usually fill a page, and a sparse list takes larger steps.
FIRST_STEP = 8
LARGEST_STEP = 512
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def get_usage_event(db: Database, organization: OrganizationId, transaction_id: str) -> StoredUsageEvent:
    """The event with this transaction_id.

    Raises:
        NotFoundError: there is no such event.
    """
    with db.transaction(organization) as tx:
        event = store.by_key(tx, organization, identity.event_key(organization, transaction_id.encode()))
    if event is None:
        raise NotFoundError("USAGE_EVENT_UNKNOWN", "no event has this transaction_id", transaction_id=transaction_id)
    return event


def list_usage_events(
    db: Database, organization: OrganizationId, wanted: Filter, page: Page
) -> Listed[StoredUsageEvent]:
    """A page of the events that match the filter, in the order of receipt."""
    after, skip = _position(page), page.skip
    events: list[StoredUsageEvent] = []
    with db.transaction(organization) as tx:
        places, noted = _places(tx, organization, wanted), commits_store.noted_until(tx)
        step, begin = LARGEST_STEP if places.is_counted else FIRST_STEP, after.commit_id
        while (missing := page.size + 1 - len(events)) > 0:
            commits = commits_store.next_commits(tx, organization, places, begin, noted, step)
            if not commits:
                break
            step = min(2 * step, LARGEST_STEP)
            read, skip = _worth_reading(commits, after, skip, missing)
            begin = (read or commits)[-1].commit_id + 1
            numbers = [commit.commit_id for commit in read]
            if skip and any(_must_look(commit, after) for commit in read):
                held = store.count_in_commits(tx, organization, numbers, after, wanted)
                if held <= skip:
                    skip -= held
                    continue
            if read:
                events += store.in_commits(tx, organization, numbers, after, wanted, skip=skip, limit=missing)
                skip = 0
    return Listed.of(events, page, lambda event: (str(event.commit_id), str(uuid.UUID(bytes=event.key))))


def list_quarantined(
    db: Database, organization: OrganizationId, wanted: Wanted, page: Page
) -> Listed[StoredUsageEvent]:
    """A page of the events that cannot be billed yet, oldest first."""
    after = _moment(page)
    with db.transaction(organization) as tx:
        rows = quarantine.listed_after(tx, organization, after, wanted, page.skip + page.size + 1)[page.skip :]
        total = quarantine.count(tx, organization, wanted) if page.with_total else None
        listed = Listed.of(rows, page, lambda row: (row[0].isoformat(), str(row[1])))
        by_key = store.by_keys(tx, organization, [key for _, key in listed.items])
    return Listed(tuple(by_key[key.bytes] for _, key in listed.items if key.bytes in by_key), listed.next_token, total)


def _worth_reading(commits: Sequence[Commit], after: Position, skip: int, missing: int) -> tuple[Sequence[Commit], int]:
    """The commits to read, and how many events in them are to be skipped: whole commits are passed by their counts."""
    first, ahead = 0, 0
    for place, commit in enumerate(commits):
        if commit.event_count is None or _must_look(commit, after):
            return commits[first:], skip
        if commit.event_count <= skip and first == place:
            first, skip = place + 1, skip - commit.event_count
            continue
        ahead += commit.event_count
        if ahead >= skip + missing:
            return commits[first : place + 1], skip
    return commits[first:], skip


def _must_look(commit: Commit, after: Position) -> bool:
    """Whether only a look tells how many events are still to come in a commit: the page before may have ended in it."""
    return commit.event_count is None or commit.commit_id == after.commit_id


def _places(tx: Connection, organization: OrganizationId, wanted: Filter) -> Places:
    """Where what is wanted may be."""
    customers = _customers(tx, organization, wanted)
    shards = {identity.shard_of(organization, customer, SHARD_COUNT) for customer in customers}
    span = (_instant(wanted.from_us), _instant(wanted.until_us))
    is_whole = wanted != Filter() and wanted in {Filter(customer=wanted.customer), Filter(code=wanted.code)}
    return Places(sorted(shards or range(SHARD_COUNT)), sorted(customers), wanted.code, *span, is_whole)


def _customers(tx: Connection, organization: OrganizationId, wanted: Filter) -> set[str]:
    """The customers whose events may be wanted; none means all."""
    if wanted.customer:
        customers = {wanted.customer}
    elif wanted.external_subscription_id or wanted.subscription_id:
        customers = store.customers_of(
            tx,
            organization,
            external_id=wanted.external_subscription_id,
            subscription_id=wanted.subscription_id,
        )
    else:
        return set()
    # Events that name no customer and could not be placed are filed under the empty one.
    return {*customers, ""}


def _position(page: Page) -> Position:
    if not page.after:
        return Position(0, LOWEST_KEY)
    return Position(_number(page.after[0]), _key(page))


def _moment(page: Page) -> tuple[datetime, uuid.UUID]:
    if not page.after:
        return _NEVER, LOWEST_KEY
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
