"""Removes events by the age of their ids: whole months of the log, recorded so that no removed id counts again.

    DATABASE_URL=… python -m services.ingest.retention --made-before 2025-01-01 [--apply]

Without `--apply` it only reports what would be removed. A month with events in quarantine is kept unless
`--with-quarantined` is given. Ids that are not UUIDv7 have no age, so their range is never removed.
"""

from __future__ import annotations

import sys
import uuid
from datetime import UTC, datetime
from typing import NamedTuple

import click
import psycopg

from services.chassis.config import Settings
from services.ingest.domain.identity import FIRST_HASHED_KEY
from services.ingest.store import partitions as store
from services.ingest.store.catalog import NOBODY, RETIREMENT
from services.ingest.store.partitions import Owner, Partition, owner_connection


class Candidate(NamedTuple):
    """A range that is old enough to be removed.

    Attributes:
        partition: the range.
        event_count: how many events it holds.
        quarantined_count: how many of them are still in quarantine.
        first_at, last_at: when the first and the last of them occurred; None for an empty range.
    """

    partition: Partition
    event_count: int
    quarantined_count: int
    first_at: datetime | None
    last_at: datetime | None


def find(owner: Owner, made_before: datetime) -> list[Candidate]:
    """The ranges whose ids were all made before an instant."""
    limit = min(store.key_at(made_before), uuid.UUID(bytes=FIRST_HASHED_KEY))
    old = [partition for partition in store.listed(owner) if partition.end is not None and partition.end <= limit]
    return [_look(owner, partition) for partition in old]


def _look(owner: Owner, partition: Partition) -> Candidate:
    events, first_at, last_at = store.count(owner, partition)
    return Candidate(partition, events, store.count_quarantined(owner, partition), first_at, last_at)


def remove(owner: Owner, candidate: Candidate) -> None:
    """Remove one range in the caller's transaction. Commits wait meanwhile, and refuse its ids afterwards."""
    store.hold_alone(owner)
    store.drop(owner, candidate.partition, candidate.event_count)
    store.note_retirement(owner, NOBODY, RETIREMENT)


@click.command(help=__doc__)
@click.option("--made-before", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Remove ids made before this.")
@click.option("--apply", "must_apply", is_flag=True, help="Remove; without it nothing changes.")
@click.option("--with-quarantined", is_flag=True, help="Remove months with quarantined events, too.")
def main(made_before: datetime, must_apply: bool, with_quarantined: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Report what would be removed, or remove it."""
    url = Settings().database_url.get_secret_value()
    with owner_connection(url) as owner:
        candidates = find(owner, made_before.replace(tzinfo=UTC))
    if not candidates:
        click.echo("nothing is that old")
    fates = {
        candidate: _decide(url, candidate, must_apply=must_apply, with_quarantined=with_quarantined)
        for candidate in candidates
    }
    for candidate, fate in fates.items():
        click.echo(_describe(candidate, fate))
    if any(fate.startswith("failed") for fate in fates.values()):
        sys.exit(1)


def _decide(url: str, candidate: Candidate, *, must_apply: bool, with_quarantined: bool) -> str:
    """Remove a range if that is asked for. A range that cannot be removed now does not stop the others."""
    if candidate.quarantined_count > 0 and not with_quarantined:
        return "kept"
    if not must_apply:
        return "would be removed"
    try:
        with owner_connection(url) as owner:
            remove(owner, candidate)
    except psycopg.Error as error:
        return f"failed: {error}"
    return "removed"


def _describe(candidate: Candidate, fate: str) -> str:
    span = ""
    if candidate.first_at is not None:
        span = f", occurred {candidate.first_at:%Y-%m-%d} to {candidate.last_at:%Y-%m-%d}"
    return (
        f"{candidate.partition.name}: {candidate.event_count} events{span}, "
        f"{candidate.quarantined_count} of them in quarantine: {fate}"
    )


if __name__ == "__main__":
    main()
