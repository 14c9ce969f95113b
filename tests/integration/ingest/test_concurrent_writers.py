"""Sixteen writers send the same 10,000 ids: each is stored and announced once, and every answer is true."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from farebox.ingest.v1 import usage_event_pb2 as pb
from services.chassis.config import Settings
from tests.support.ingest.process import Ingest, running, usage_event

WRITERS = 16
IDS = 10_000
BATCH = 500


def _write(target: Ingest, seed: int) -> Counter[tuple[str, int]]:
    """Send every id once, in an order of the writer's own; what was answered for each id."""
    ids = [f"id-{number}" for number in range(IDS)]
    random.Random(seed).shuffle(ids)
    answers: Counter[tuple[str, int]] = Counter()
    for start in range(0, IDS, BATCH):
        part = ids[start : start + BATCH]
        answers.update(zip(part, target.send(*map(usage_event, part)).outcomes, strict=True))
    return answers


def test_each_id_is_accepted_once_over_two_replicas(settings_for: Callable[[str], Settings]) -> None:
    settings = settings_for("ingest")
    with running(settings) as one, running(settings) as other:
        other.organization = one.organization
        with ThreadPoolExecutor(WRITERS) as pool:
            answers = sum(pool.map(_write, [one, other] * (WRITERS // 2), range(WRITERS)), Counter())
        accepted = [name for (name, outcome), count in answers.items() if outcome == pb.INGEST_OUTCOME_ACCEPTED]
        assert sorted(accepted) == sorted(f"id-{number}" for number in range(IDS))
        assert sum(answers.values()) == WRITERS * IDS
        assert {outcome for _, outcome in answers} == {pb.INGEST_OUTCOME_ACCEPTED, pb.INGEST_OUTCOME_DUPLICATE}
        assert all(count == 1 for (_, outcome), count in answers.items() if outcome == pb.INGEST_OUTCOME_ACCEPTED)
        assert one.stored() == IDS
        announced = Counter(entry.transaction_id for entry in one.announced())
        assert len(announced) == announced.total() == IDS
