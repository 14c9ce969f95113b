"""NATS JetStream: streams, publishing with acknowledgement, reading from a position. The only asyncio in the services.

nats-py is asyncio only, so the bus owns one event-loop thread and offers plain functions to everybody else. NATS is
transport: nothing here is believed to be durable (PostgreSQL is), and a stream that has vanished is simply made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, RetentionPolicy, StreamConfig
from nats.js.errors import NotFoundError

from services.chassis.config import Settings
from services.chassis.log import logger
from services.chassis.messages import PART_BYTES, Outgoing, split
from services.chassis.reader import Reader
from services.kernel.errors import UnavailableError

T = TypeVar("T")
log = logger(__name__)

# nats-py's own first connect retries for minutes; a process should report soon that its bus is unavailable.
CONNECT_TIMEOUT_SECONDS = 5
# A publish that is not acknowledged within this time is repeated by the outbox; duplicates are recognised by number.
PUBLISH_TIMEOUT_SECONDS = 5
# How many messages may be unacknowledged at once: with more, JetStream gains nothing and memory grows.
PUBLISH_WINDOW = 256
# How many bytes may be unacknowledged at once: what a slow disk stores within the timeout.
PUBLISH_WINDOW_BYTES = 8 * 1024 * 1024
# Room for a message's headers within the server's limit: four headers, with subjects of a hundred characters.
HEADER_BYTES = 4 * 1024
# JetStream forgets a Nats-Msg-Id after this; it is only an optimisation, since consumers know the last number they
# applied.
DUPLICATE_WINDOW_SECONDS = 120
# The server removes a reader whose process died after this.
READER_INACTIVE_SECONDS = 60
# How much longer to wait for the result of a call on the loop than the call's own timeout.
CALL_GRACE_SECONDS = 5


@dataclass(frozen=True)
class Stream:
    """A stream and everything that is published on it, in NATS's notation for subjects."""

    name: str
    subjects: tuple[str, ...]


@dataclass(frozen=True)
class StreamPlace:
    """The present state of a stream: another `created` means that its store was lost and it was made again."""

    created: datetime
    last_sequence: int


class Bus:
    """A connection to JetStream, with its own event-loop thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bus", daemon=True)
        self._thread.start()
        self._connecting = threading.Lock()
        self._client: Client | None = None

    def call(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run a coroutine on the loop and wait for it; every failure of NATS becomes UnavailableError."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout + CALL_GRACE_SECONDS)
        except (nats.errors.Error, OSError, TimeoutError, asyncio.CancelledError) as error:
            future.cancel()
            raise UnavailableError("BUS_UNAVAILABLE", f"NATS: {type(error).__name__}: {error}") from error

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop without waiting for it; what becomes of it must show elsewhere."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def _jetstream(self) -> JetStreamContext:
        with self._connecting:
            if self._client is None or self._client.is_closed:
                self._client = self.call(self._connect(), CONNECT_TIMEOUT_SECONDS)
            return self._client.jetstream(timeout=PUBLISH_TIMEOUT_SECONDS)

    async def _connect(self) -> Client:
        async def on_error(error: Exception) -> None:
            log.warning("bus_error", error=repr(error))

        return await asyncio.wait_for(
            nats.connect(
                self._settings.nats_url,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.1,
                error_cb=on_error,
                pending_size=64 * 1024 * 1024,
            ),
            CONNECT_TIMEOUT_SECONDS,
        )

    def ensure_stream(self, name: str, subjects: Sequence[str]) -> StreamPlace:
        """Make the stream if it does not exist, and return its state."""
        return self.call(self._ensure_stream(self._jetstream(), name, subjects), PUBLISH_TIMEOUT_SECONDS)

    async def _ensure_stream(self, js: JetStreamContext, name: str, subjects: Sequence[str]) -> StreamPlace:
        try:
            info = await js.stream_info(name)
        except NotFoundError:
            info = await js.add_stream(
                StreamConfig(
                    name=name,
                    subjects=list(subjects),
                    retention=RetentionPolicy.LIMITS,
                    discard=DiscardPolicy.NEW,
                    max_bytes=self._settings.stream_max_bytes,
                    max_age=self._settings.stream_max_age_seconds,
                    duplicate_window=DUPLICATE_WINDOW_SECONDS,
                )
            )
        if info.created is None:
            raise UnavailableError("BUS_UNAVAILABLE", f"stream {name} does not say when it was created")
        return StreamPlace(info.created, info.state.last_seq)

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish in order, in parts if necessary, and wait until the server has acknowledged everything.

        Raises:
            UnavailableError: some may not have arrived; publish all of them again.
        """
        if not messages:
            return
        js = self._jetstream()
        part_bytes = min(PART_BYTES, self._largest_body())
        parts = [part for message in messages for part in split(message, part_bytes)]
        for window in windows(parts):
            self.call(self._publish(js, window), PUBLISH_TIMEOUT_SECONDS)

    def _largest_body(self) -> int:
        """How much the server takes besides headers; it reports its limit when a connection is made."""
        largest = self._client.max_payload if self._client else PART_BYTES
        return max(1, largest - HEADER_BYTES)

    async def _publish(self, js: JetStreamContext, window: Sequence[Outgoing]) -> None:
        await asyncio.gather(*(js.publish(m.subject, m.body, headers=m.headers or None) for m in window))

    def open_reader(self, stream: str, *subjects: str, after_sequence: int) -> Reader:
        """Read subjects of `stream` from the message after `after_sequence` (0: from the first one kept)."""
        return self.call(
            self._open_reader(self._jetstream(), stream, subjects, after_sequence), PUBLISH_TIMEOUT_SECONDS
        )

    async def _open_reader(
        self, js: JetStreamContext, stream: str, subjects: Sequence[str], after_sequence: int
    ) -> Reader:
        start = (
            {"deliver_policy": DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": after_sequence + 1}
            if after_sequence
            else {"deliver_policy": DeliverPolicy.ALL}
        )
        info = await js.add_consumer(
            stream,
            ConsumerConfig(
                ack_policy=AckPolicy.NONE,
                filter_subjects=list(subjects),
                inactive_threshold=READER_INACTIVE_SECONDS,
                mem_storage=True,
                **start,
            ),
        )
        if self._client is None:
            raise UnavailableError("BUS_UNAVAILABLE", "the connection was closed")
        reader = Reader(self, self._client, stream, info.name)
        await reader.start()
        return reader

    def close(self) -> None:
        """Close the connection and stop the loop."""
        client, self._client = self._client, None
        if client is not None and not client.is_closed:
            with contextlib.suppress(UnavailableError):
                self.call(client.close(), CALL_GRACE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_GRACE_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()


def windows(messages: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Split messages, in order, into runs that are small enough to be unacknowledged at once; each has at least one."""
    window: list[Outgoing] = []
    size = 0
    for message in messages:
        if window and (len(window) == PUBLISH_WINDOW or size + len(message.body) > PUBLISH_WINDOW_BYTES):
            yield window
            window, size = [], 0
        window.append(message)
        size += len(message.body)
    if window:
        yield window
