"""What the sender of each event is told once the commit that holds the event is done."""

from __future__ import annotations

from collections.abc import Mapping

from services.chassis.log import logger
from services.ingest.domain import outcome
from services.ingest.domain.outcome import Answer, Outcome
from services.ingest.domain.repeat import Content, Original, is_repeat, is_rewritten
from services.ingest.pipeline.dedupe import Deduplication
from services.ingest.pipeline.prepare import PreparedUsageEvents
from services.ingest.pipeline.queue import Submission

log = logger(__name__)

# For the first event of each identity in a commit, by key: its batch, the batch's new events, and its index in them.
Firsts = Mapping[bytes, tuple[Submission, PreparedUsageEvents, int]]


def answer_all(commit: Deduplication) -> None:
    """Set the answers, or the error, of every batch of a commit; call this only after the commit.

    What is committed stays, so an error while answering one batch concerns only that batch: its sender sends it again.
    """
    firsts: Firsts | None = None
    for submission, fresh in zip(commit.submissions, commit.fresh, strict=True):
        if len(fresh) == len(submission.prepared):
            submission.answers = _first_answers(fresh)
            continue
        if firsts is None:
            firsts = _firsts(commit)
        try:
            submission.answers = _answers(commit, submission, fresh, firsts)
        except Exception as error:
            log.exception("answer_failed")
            submission.error = error


def _firsts(commit: Deduplication) -> Firsts:
    return {
        key: (submission, fresh, index)
        for submission, fresh in zip(commit.submissions, commit.fresh, strict=True)
        for index, key in enumerate(fresh.keys)
    }


def _first_answers(batch: PreparedUsageEvents) -> list[Answer]:
    answers = [outcome.ACCEPTED] * len(batch)
    for index, reason in batch.reasons.items():
        answers[index] = Answer(Outcome.QUARANTINED, *reason)
    return answers


def _answers(commit: Deduplication, submission: Submission, fresh: PreparedUsageEvents, firsts: Firsts) -> list[Answer]:
    """The answers to a batch of which only `fresh` is new."""
    duplicate = outcome.DUPLICATE_REJECTED if submission.preparation.are_duplicates_rejected else outcome.DUPLICATE
    batch = submission.prepared
    # The batch's own new events, by key. Each is answered as new once, at its first index.
    own = dict(zip(fresh.keys, _first_answers(fresh), strict=True))
    answers: list[Answer] = []
    for index, key in enumerate(batch.keys):
        if key in own:
            answers.append(own.pop(key))
            continue
        original = _original(commit, key, firsts)
        if original is None:
            answers.append(outcome.EXPIRED)
            continue
        answer = duplicate if _is_same_event(batch, index, *original) else outcome.CONFLICT
        stored = original[0]
        answers.append(answer._replace(occurred_us=stored.occurred_us, received_us=stored.received_us))
    return answers


def _original(commit: Deduplication, key: bytes, firsts: Firsts) -> tuple[Original, Content | None] | None:
    """The first event of an identity, with its content if its bytes may differ; None if it is gone."""
    if key in firsts:
        return _as_stored(*firsts[key])
    if key in commit.originals:
        return commit.originals[key], commit.contents.get(key)
    return None


def _as_stored(submission: Submission, batch: PreparedUsageEvents, index: int) -> tuple[Original, Content]:
    """An event of this commit, in the form in which the log would return it."""
    events = batch.events
    is_time_given = events.occurred_us[index] is not None
    original = Original(batch.content_hashes[index], batch.occurred_us[index], is_time_given, submission.received_us)
    return original, Content(events.properties[index], events.amounts[index])


def _is_same_event(batch: PreparedUsageEvents, index: int, original: Original, content: Content | None) -> bool:
    event, digest = batch.events.event(index), batch.content_hashes[index]
    if is_repeat(event, digest, original):
        return True
    if digest == original.content_hash or content is None:
        return False
    return is_rewritten(event, original, content)
