"""What a commit writes besides the rows of its events: the shards' batches, the quarantine, and what it touched."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence

from services.ingest.pipeline.prepare import PreparedUsageEvents
from services.ingest.store.quarantine import Quarantined
from services.ingest.store.shards import Draft, Touched

# Half of what a NATS server accepts as one message by default, so that the largest event still fits beside a full
# batch.
MAX_PAYLOAD_BYTES = 512 * 1024


def drafts_of(batches: Iterable[PreparedUsageEvents]) -> list[Draft]:
    """The batches of the shards that announce these events, in order; quarantined events are not announced."""
    by_shard: dict[int, list[bytes]] = defaultdict(list)
    for batch in batches:
        for target, entry in zip(batch.targets, batch.entries, strict=True):
            if entry:
                by_shard[target.shard].append(entry)
    return [draft for shard in sorted(by_shard) for draft in split(shard, by_shard[shard])]


def split(shard: int, entries: list[bytes]) -> list[Draft]:
    """One shard's entries in as many batches as their size needs; nearly always one."""
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


def touched_by(commit_id: int, batches: Sequence[PreparedUsageEvents]) -> Touched:
    """What a commit added to the log. One time span covers all of its shards, so lists may sometimes search in vain."""
    first_us = min(min(batch.occurred_us) for batch in batches)
    last_us = max(max(batch.occurred_us) for batch in batches)
    targets = {id(target): target for batch in batches for target in batch.targets}
    shards = {(target.organization, target.shard) for target in targets.values()}
    return Touched(commit_id, sorted(shards), first_us, last_us)


def quarantined_of(batches: Iterable[PreparedUsageEvents]) -> list[Quarantined]:
    """The rows of the quarantine for the events that cannot be billed."""
    return [_quarantined(batch, index) for batch in batches for index in batch.reasons]


def _quarantined(batch: PreparedUsageEvents, index: int) -> Quarantined:
    customer, subscription, code = batch.events.places[index]
    return Quarantined(
        batch.targets[index].organization,
        uuid.UUID(bytes=batch.keys[index]),
        *batch.reasons[index],
        code,
        customer,
        subscription,
    )
