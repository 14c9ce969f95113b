"""Read a stream in order from a place on, for the followers of logs.

A reader is a throw-away consumer of the server without acknowledgements. It requests a bounded number of messages, and
more as soon as those have arrived and most were taken. So the next ones are here when the present ones are applied, a
single message is handed out on arrival, and a slow reader is not flooded.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nats.aio.client import Client
from nats.aio.msg import Msg

from services.chassis.messages import Incoming
from services.kernel.errors import UnavailableError

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

    from services.chassis.bus import Bus

# Messages that are requested at a time, and the most that are kept besides those being applied.
ASK_MESSAGES = 256
# Bytes that are requested at a time; more than the largest message that any server takes.
ASK_BYTES = 16 * 1024 * 1024
# With more bytes waiting here, nothing is requested.
KEPT_BYTES = 8 * 1024 * 1024
# An unanswered request ends after this and is repeated, which shows whether the server still knows the reader.
ASK_SECONDS = 2.0
# After this long without a sign of the server, a reader is lost: the server was restarted, or its store is gone.
SILENCE_SECONDS = 3.0
# Room for the outcome of a call into the bus's loop.
CLOSE_SECONDS = 5.0
_STATUS = "Status"
# Statuses that only end a request: nothing to send, or its time or its bytes are used up.
_NO_MESSAGES, _TIME_IS_OVER, _CONFLICT = "404", "408", "409"
_BYTES_ARE_OVER = "MaxBytes"


@dataclass(frozen=True)
class Place:
    """The server's progress with a reader.

    Attributes:
        delivered: the place of the last message that was sent to it.
        pending_count: messages that are still to be sent.
    """

    delivered: int
    pending_count: int

    def is_read_up_to(self, sequence: int) -> bool:
        """Whether a reader that took in everything up to a place has everything that the stream has for it."""
        return self.pending_count == 0 and self.delivered <= sequence


class Reader:
    """Reads subjects of a stream in order; nothing is acknowledged, the inbox is the position."""

    def __init__(self, bus: Bus, client: Client, stream: str, consumer: str) -> None:
        """Use a consumer that was created for this reader; `start` begins to read."""
        self._bus = bus
        self._client = client
        self._stream = stream
        self._consumer = consumer
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._arrived = threading.Condition()
        self._kept: deque[Incoming] = deque()
        self._kept_bytes = 0
        # Messages that the present request may still bring; only the loop's thread requests and counts.
        self._asked = 0
        self._heard_at = time.monotonic()
        self._lost = ""

    async def start(self) -> None:
        """Request the first messages; in the bus's loop."""
        self._subscription = await self._client.subscribe(self._inbox, cb=self._receive)
        await self._ask()

    def fetch(self, count: int, timeout: float) -> list[Incoming]:
        """Up to `count` next messages, waiting at most `timeout` seconds for the first. Empty if there is none.

        Raises:
            UnavailableError: the reader is gone (server restarted, stream lost); open a new one from the position.
        """
        deadline = time.monotonic() + timeout
        with self._arrived:
            while not self._kept and not self._lost and (left := deadline - time.monotonic()) > 0:
                self._arrived.wait(left)
            taken = [self._kept.popleft() for _ in range(min(count, len(self._kept)))]
            self._kept_bytes -= sum(len(message.body) for message in taken)
            is_silent = time.monotonic() - self._heard_at > SILENCE_SECONDS
            if not taken and (self._lost or is_silent):
                raise UnavailableError("BUS_READER_LOST", self._lost or "the stream's reader is not heard of")
        if taken and self._asked == 0:
            self._bus.spawn(self._ask())
        return taken

    def place(self) -> Place:
        """The server's progress with this reader.

        Raises:
            UnavailableError: the reader is gone.
        """
        return self._bus.call(self._place(), ASK_SECONDS)

    async def _place(self) -> Place:
        info = await self._client.jetstream().consumer_info(self._stream, self._consumer)
        return Place(info.delivered.stream_seq if info.delivered else 0, info.num_pending or 0)

    async def _receive(self, message: Msg) -> None:
        status = message.headers.get(_STATUS) if message.headers and not message.data else None
        with self._arrived:
            self._heard_at = time.monotonic()
            if status is None:
                place = message.metadata.sequence.stream
                headers = dict(message.headers or {})
                self._kept.append(Incoming(message.subject, message.data, headers, place, place))
                self._kept_bytes += len(message.data)
                self._asked -= 1
            elif _ends_a_request(status, message.headers or {}):
                self._asked = 0
            else:
                self._lost = f"the server says {status} {(message.headers or {}).get('Description', '')}"
            self._arrived.notify()
        await self._ask()

    async def _ask(self) -> None:
        """Request more if the present request is over and there is room."""
        if self._asked > 0 or self._lost or len(self._kept) >= ASK_MESSAGES or self._kept_bytes >= KEPT_BYTES:
            return
        self._asked = ASK_MESSAGES
        request = {"batch": ASK_MESSAGES, "max_bytes": ASK_BYTES, "expires": int(ASK_SECONDS * 1e9)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        await self._client.publish(subject, json.dumps(request).encode(), self._inbox)

    def close(self) -> None:
        """Stop reading; the server removes the reader automatically."""
        if self._subscription is not None:
            with contextlib.suppress(UnavailableError):
                self._bus.call(self._subscription.unsubscribe(), CLOSE_SECONDS)


def _ends_a_request(status: str, headers: dict[str, str]) -> bool:
    if status in {_NO_MESSAGES, _TIME_IS_OVER}:
        return True
    return status == _CONFLICT and _BYTES_ARE_OVER in headers.get("Description", "")
