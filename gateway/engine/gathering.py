"""Concurrent questions of an organization become one call to a service; each caller gets its own answer.

A lone caller's question leaves at once. Questions that come during a call gather into the next one, so calls grow with
the load. Everything is limited: questions in a call, their bytes, calls in progress for an organization, and waiting
questions in total; beyond the last limit a caller is refused before anything is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from google.protobuf.message import Message

from gateway.problem import overloaded

# Well within the milliseconds that a call takes anyway; a question that comes during a call waits this long for others.
LINGER_SECONDS = 0.001

Question = TypeVar("Question", bound=Message)
Answer = TypeVar("Answer")
# One answer for each question, in order; an error is for its own caller.
Deliver = Callable[[str, list[Question]], Awaitable[Sequence[Answer | BaseException]]]


@dataclass(frozen=True)
class Bounds:
    """The limits.

    Attributes:
        batch: how many questions one call has.
        batch_bytes: how many bytes they have; a larger single question still travels, alone.
        under_way: how many calls for one organization run at a time.
        waiting: how many questions wait in total.
        things: what the questions are called in a refusal.
    """

    batch: int
    batch_bytes: int
    under_way: int
    waiting: int
    things: str


@dataclass
class _Lane(Generic[Question, Answer]):
    """The waiting questions of one organization."""

    waiting: list[tuple[Question, asyncio.Future[Answer]]] = field(default_factory=list)
    under_way: int = 0
    departure: asyncio.Handle | None = None


class Gathering(Generic[Question, Answer]):
    """Folds single questions into calls; use it from one event loop."""

    def __init__(self, deliver: Deliver[Question, Answer], bounds: Bounds) -> None:
        """Fold what `deliver` then asks, within bounds."""
        self._deliver = deliver
        self._bounds = bounds
        self._lanes: dict[str, _Lane[Question, Answer]] = {}
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, organization_id: str, question: Question) -> Answer:
        """The answer to one question.

        Raises:
            Problem: 429, too many questions are waiting.
            grpc.RpcError: the service refused, or could not be reached.
        """
        if self._waiting >= self._bounds.waiting:
            raise overloaded(f"{self._bounds.waiting} {self._bounds.things} are waiting already")
        lane = self._lanes.get(organization_id)
        if lane is None:
            lane = self._lanes[organization_id] = _Lane()
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        lane.waiting.append((question, answer))
        self._waiting += 1
        self._schedule(organization_id, lane)
        return await answer

    async def drain(self) -> None:
        """Wait until every accepted question is answered."""
        while self._tasks or self._waiting:
            await asyncio.gather(*self._tasks)
            await asyncio.sleep(LINGER_SECONDS)

    def _schedule(self, organization_id: str, lane: _Lane[Question, Answer]) -> None:
        if lane.under_way >= self._bounds.under_way:
            return
        if len(lane.waiting) >= self._bounds.batch:
            self._send(organization_id, lane)
        elif lane.departure is None:
            loop = asyncio.get_running_loop()
            # If no call is in progress, everything that was read from the network together leaves together, at once.
            lane.departure = (
                loop.call_later(LINGER_SECONDS, self._send, organization_id, lane)
                if lane.under_way
                else loop.call_soon(self._send, organization_id, lane)
            )

    def _send(self, organization_id: str, lane: _Lane[Question, Answer]) -> None:
        if lane.departure is not None:
            lane.departure.cancel()
            lane.departure = None
        if not lane.waiting or lane.under_way >= self._bounds.under_way:
            return
        batch = self._take(lane)
        self._waiting -= len(batch)
        lane.under_way += 1
        task = asyncio.ensure_future(self._answer(organization_id, lane, batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(
        self,
        organization_id: str,
        lane: _Lane[Question, Answer],
        batch: list[tuple[Question, asyncio.Future[Answer]]],
    ) -> None:
        try:
            answers = await self._deliver(organization_id, [question for question, _ in batch])
        except Exception as error:  # noqa: BLE001 - every caller of the batch hears it
            answers = [error] * len(batch)
        finally:
            lane.under_way -= 1
            if lane.waiting:
                self._schedule(organization_id, lane)
            elif not lane.under_way:
                self._lanes.pop(organization_id, None)
        for (_, future), answer in zip(batch, answers, strict=True):
            # A caller that hung up has cancelled its future; its question was asked all the same.
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _take(self, lane: _Lane[Question, Answer]) -> list[tuple[Question, asyncio.Future[Answer]]]:
        """The next batch, within both bounds; at least one question."""
        size, count = 0, 0
        for question, _ in lane.waiting[: self._bounds.batch]:
            size += question.ByteSize()
            if count and size > self._bounds.batch_bytes:
                break
            count += 1
        batch, lane.waiting = lane.waiting[:count], lane.waiting[count:]
        return batch
