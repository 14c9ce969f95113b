"""Batches from the wire into the log, and their answers back; what unary calls and streams share."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from services.ingest.commands.ingest import Deps, ingest, present_us
from services.ingest.convert.usage_event import (
    answer_of,
    details_to_pb,
    events_from_pb,
    organization_bytes,
    outcomes_to_pb,
    require_batch_size,
)
from services.ingest.domain.outcome import Answer
from services.ingest.domain.usage_event import UsageEvent
from services.kernel.errors import FieldViolation, ResourceExhaustedError
from services.kernel.ids import OrganizationId

RETRY_AFTER_SECONDS = 5


class Intake:
    """Takes batches in."""

    def __init__(self, deps: Deps, *, max_streams: int) -> None:
        """Take batches into `deps`.

        Args:
            deps: the log.
            max_streams: streams at once; each keeps a thread for as long as it lives, and unary calls need some too.
        """
        self._deps = deps
        self._max_streams = max_streams
        self._streams = threading.BoundedSemaphore(max_streams)

    def now_us(self, organization: OrganizationId) -> int:
        """The organization's present time, from the database."""
        return present_us(self._deps, organization_bytes(organization), fresh=True)[1]

    def take(self, organization: OrganizationId, request: Any) -> tuple[list[Any], list[Any]]:
        """Store the events of a request; an outcome for each, and details for those not plainly accepted.

        Raises:
            InvalidArgumentError: the batch as a whole is too large or empty.
            ResourceExhaustedError: too much waits; nothing is stored.
            UnavailableError: the log is away; sending the batch again is safe.
        """
        require_batch_size(request)
        name = organization_bytes(organization)
        received_us, now_us = present_us(self._deps, name)
        read = events_from_pb(request.events, now_us=now_us)
        if any(isinstance(one, FieldViolation) and one.field == "timestamp" for one in read):
            # Too far ahead of a test clock, perhaps, that was advanced since we heard of it.
            read = events_from_pb(request.events, now_us=self.now_us(organization))
        valid = [one for one in read if isinstance(one, UsageEvent)]
        answers = ingest(self._deps, name, received_us, valid)
        if len(valid) < len(read):
            answers = _in_order(read, answers)
        return outcomes_to_pb(answers), details_to_pb(answers, request.events)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream while it lives.

        Raises:
            ResourceExhaustedError: there are too many already.
        """
        if not self._streams.acquire(blocking=False):
            raise ResourceExhaustedError(
                "TOO_MANY_STREAMS",
                f"this process serves {self._max_streams} streams at once",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        try:
            yield
        finally:
            self._streams.release()


def _in_order(read: Sequence[UsageEvent | FieldViolation], answers: Sequence[Answer]) -> list[Answer]:
    """The answers to all events, those refused before they came to the log included."""
    stored = iter(answers)
    return [answer_of(one) if isinstance(one, FieldViolation) else next(stored) for one in read]
