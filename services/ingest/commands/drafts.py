"""From prepared events to the batches of the shards and the list of what a commit touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.ingest.commands.prepare import Prepared
from services.ingest.store.log import Touched
from services.ingest.store.shards import Draft

# Half of what a NATS server takes as one message by default, so that the largest event still fits beside a full batch.
MAX_PAYLOAD_BYTES = 512 * 1024


def drafts_of(events: Iterable[Prepared]) -> list[Draft]:
    """The batches that announce these events, each shard's in order; quarantined events are not announced."""
    by_shard: dict[int, list[bytes]] = {}
    for one in events:
        if one.entry:
            by_shard.setdefault(one.target.shard, []).append(one.entry)
    return [draft for shard in sorted(by_shard) for draft in split(shard, by_shard[shard])]


def split(shard: int, entries: list[bytes]) -> list[Draft]:
    """One shard's entries in as many batches as their size needs, nearly always one."""
    joined = b"".join(entries)
    if len(joined) <= MAX_PAYLOAD_BYTES:
        return [Draft(shard, len(entries), joined)]
    drafts: list[Draft] = []
    part: list[bytes] = []
    size = 0
    for entry in entries:
        if part and size + len(entry) > MAX_PAYLOAD_BYTES:
            drafts.append(Draft(shard, len(part), b"".join(part)))
            part, size = [], 0
        part.append(entry)
        size += len(entry)
    drafts.append(Draft(shard, len(part), b"".join(part)))
    return drafts


def touched_by(events: Sequence[Prepared]) -> list[Touched]:
    """Which organizations and shards these events belong to; each with the span of all, which is near enough."""
    times = [one.occurred_us for one in events]
    first, last = min(times), max(times)
    places = {(one.target.organization, one.target.shard) for one in events}
    return [Touched(organization, shard, first, last) for organization, shard in places]
