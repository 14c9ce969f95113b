"""A month's usage: events of three customers, some sent twice, over the SDK and in batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nozle import Nozle

from examples.story.price_sheet import PROVIDER_RATES, Usage
from farebox.testing import Rest

# The seed's customer and subscription, and two more, so that margins differ.
CUSTOMERS = {"customer_123": "sub_abc", "customer_456": "sub_def", "customer_789": "sub_ghi"}
# How much of the traffic is each customer's, and how many tokens one of its requests has at the most.
SHARES = {"customer_123": (5, 3_000), "customer_456": (3, 9_000), "customer_789": (2, 400)}
STARTS_AT = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 19
SINGLES_SHARE = 5
BATCH = 100
# One event in so many is sent a second time, later, as a client does that missed the answer.
REPEAT_EVERY = 20
SENDERS = 8


@dataclass(frozen=True)
class Event:
    """One event as it is sent.

    Attributes:
        transaction_id: its identity.
        customer: external customer id.
        code: of the metric.
        properties: of the event.
        timestamp: RFC 3339.
    """

    transaction_id: str
    customer: str
    code: str
    properties: dict[str, Any]
    timestamp: str

    def body(self) -> dict[str, Any]:
        """As the REST interface takes it."""
        return {
            "transaction_id": self.transaction_id,
            "external_customer_id": self.customer,
            "external_subscription_id": CUSTOMERS[self.customer],
            "code": self.code,
            "properties": self.properties,
            "timestamp": self.timestamp,
        }


def month(count: int, seed: int) -> list[Event]:
    """`count` different events, the same for the same seed."""
    chance = random.Random(seed)
    return [_event(chance, f"evt-{number:06d}") for number in range(count)]


def count_usage(events: list[Event]) -> dict[str, Usage]:
    """What each customer used, each event counted once."""
    usages = {customer: Usage() for customer in CUSTOMERS}
    for event in events:
        usage = usages[event.customer]
        if event.code == "api_call":
            usage.api_calls += 1
        else:
            kind = (event.properties["model"], event.properties["type"])
            usage.tokens[kind] = usage.tokens.get(kind, 0) + event.properties["tokens"]
    return usages


def send(events: list[Event], nozle: Callable[[], Nozle], rest: Rest, sent: Callable[[int], None]) -> int:
    """Send every event, some of them again.

    Args:
        events: what to send.
        nozle: makes an SDK client for one thread.
        rest: for the batches.
        sent: told how many more events were acknowledged.

    Returns:
        How many events were sent in all, repeats included.
    """
    singles = events[: len(events) // SINGLES_SHARE]
    repeats = events[::REPEAT_EVERY]
    batches = list(_batches([*events[len(singles) :], *repeats]))
    with ThreadPoolExecutor(SENDERS) as senders:
        for count in senders.map(lambda part: _track(nozle(), part), _parts(singles, SENDERS)):
            sent(count)
        for count in senders.map(lambda batch: _post(rest, batch), batches):
            sent(count)
    return len(events) + len(repeats)


def _event(chance: random.Random, transaction_id: str) -> Event:
    customer = chance.choices(list(SHARES), [share for share, _ in SHARES.values()])[0]
    at = STARTS_AT + timedelta(seconds=chance.randrange(DAYS * 86_400))
    model = chance.choice(list(PROVIDER_RATES))
    properties: dict[str, Any] = {"model": model}
    code = chance.choice(["api_call", "llm_tokens"])
    if code == "llm_tokens":
        kind = chance.choice(["input", "output"])
        properties |= {"type": kind, "tokens": chance.randint(1, SHARES[customer][1])}
    return Event(transaction_id, customer, code, properties, at.isoformat().replace("+00:00", "Z"))


def _track(nozle: Nozle, events: list[Event]) -> int:
    for event in events:
        nozle.track(
            event.customer,
            event.code,
            event.properties,
            subscription_id=CUSTOMERS[event.customer],
            transaction_id=event.transaction_id,
            timestamp=event.timestamp,
        )
    return len(events)


def _post(rest: Rest, events: list[Event]) -> int:
    rest.post("/events/batch", {"events": [event.body() for event in events]})
    return len(events)


def _batches(events: list[Event]) -> Iterator[list[Event]]:
    for start in range(0, len(events), BATCH):
        yield events[start : start + BATCH]


def _parts(events: list[Event], count: int) -> list[list[Event]]:
    """Small parts, so that progress moves."""
    size = max(1, len(events) // (count * 8))
    return [events[start : start + size] for start in range(0, len(events), size)]
