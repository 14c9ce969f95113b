"""kill -9 at named points: what was acknowledged is stored and announced once in effect, and nothing else twice."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from farebox.ingest.v1 import usage_event_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as service_grpc
from services.chassis.bus import Bus
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.messages import LAST_NUMBER_HEADER, Incoming
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.chassis.wait import wait_until
from services.kernel.ids import new_id
from services.local.stack import Stack
from services.wire.shards import SHARD_COUNT
from services.wire.streams import USAGE
from tests.support.ingest.process import standard_catalog, teach, usage_event
from tests.support.patience import PATIENCE_SECONDS

INGEST = "ingest-1"
BATCHES = 30
BATCH = 25
POINTS = [
    "ingest.before_commit:7",
    "ingest.after_commit:7",
    "ingest.before_publish:3",
    "ingest.after_publish:3",
    "ingest.after_mark:3",
]


class Site:
    """An organization on real stores and an ingest process, and a client that remembers what was acknowledged."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.organization = new_id()
        self.settings = Settings(
            database_url=SecretStr(stack.database_url("ingest")), nats_url=stack.nats_url, database_pool_size=2
        )
        self.db = Database(self.settings)
        self.channel = open_channel(stack.address("ingest"))
        self.stub = service_grpc.UsageEventServiceStub(self.channel)
        self.acknowledged: set[str] = set()
        teach(self.db, standard_catalog(self.organization))

    def send_all(self) -> None:
        """Send every batch until it is acknowledged, whatever dies meanwhile."""
        for batch in range(BATCHES):
            events = [usage_event(f"id-{batch}-{place}") for place in range(BATCH)]
            answer = wait_until(
                lambda events=events: self._try(events), timeout=PATIENCE_SECONDS, what="an acknowledgement"
            )
            assert set(answer.outcomes) <= {pb.INGEST_OUTCOME_ACCEPTED, pb.INGEST_OUTCOME_DUPLICATE}
            self.acknowledged |= {event.transaction_id for event in events}

    def _try(self, events: list[pb.UsageEvent]) -> Any:
        try:
            return self.stub.IngestUsageEvents(
                service_pb.IngestUsageEventsRequest(events=events),
                metadata=[(ORGANIZATION_KEY, self.organization)],
                timeout=5,
            )
        except grpc.RpcError as error:
            if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                raise
            return None

    def send_through_its_end(self) -> None:
        """Send everything while the process dies by itself, and is started again."""
        sending = threading.Thread(target=self.send_all)
        sending.start()
        process = self.stack.process(INGEST)
        wait_until(lambda: not process.is_running, timeout=PATIENCE_SECONDS, what="the end of ingest")
        self.stack.restart(INGEST)
        sending.join()

    def check(self) -> None:
        """Acknowledged = stored = announced, each once; the bus brings every number or ReplayUsageEvents does."""
        with self.db.worker_transaction() as tx:
            question = "SELECT transaction_id FROM usage_events WHERE organization_id = %s"
            stored = Counter(tx.exec_driver_sql(question, (self.organization,)).scalars())
        assert stored.keys() == self.acknowledged
        assert stored.total() == len(self.acknowledged) == BATCHES * BATCH
        announced: Counter[str] = Counter()
        for shard in range(SHARD_COUNT):
            last = 0
            request = service_pb.ReplayUsageEventsRequest(shard=shard, from_number=1)
            for message in self.stub.ReplayUsageEvents(request, timeout=PATIENCE_SECONDS):
                assert message.batch.first_number == last + 1
                last = message.batch.last_number
                own = (entry for entry in message.batch.entries if entry.organization_id == self.organization)
                announced.update(entry.transaction_id for entry in own)
        assert announced == stored

    def published(self) -> dict[int, int]:
        """The last number that the bus brings of each shard that has one."""
        bus = Bus(self.settings)
        numbers: dict[int, int] = {}
        try:
            reader = bus.open_reader(USAGE.name, USAGE.subjects[0], after_sequence=0)
            while messages := reader.fetch(100, 0.5):
                numbers |= {_shard(message): int(message.headers[LAST_NUMBER_HEADER]) for message in messages}
        finally:
            bus.close()
        return numbers

    def newest(self) -> dict[int, int]:
        """The newest number of each shard that has one."""
        answer = self.stub.ListShardPositions(service_pb.ListShardPositionsRequest(), timeout=PATIENCE_SECONDS)
        return {position.shard: position.last_number for position in answer.positions if position.last_number}

    def close(self) -> None:
        self.channel.close()
        self.db.dispose()


def _shard(message: Incoming) -> int:
    return int(message.subject.rpartition(".")[2])


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that names where the process dies which reads it next; it is gone once it is read."""
    return tmp_path_factory.mktemp("failpoint") / "armed"


@pytest.fixture(scope="module")
def stack(armed: Path) -> Iterator[Stack]:
    """Stores and one ingest process, which all tests share: each leaves them running."""
    script = (
        f'FAREBOX_FAILPOINT="$(cat {armed} 2>/dev/null)"; export FAREBOX_FAILPOINT; rm -f {armed}; '
        'exec "$0" -m services.ingest.main'
    )
    with Stack.temporary(
        services=["ingest"],
        gateway=False,
        commands={"ingest": ["sh", "-c", script, sys.executable]},
        env_of={"ingest": {"FAREBOX_ENVIRONMENT": "test"}},
    ) as running:
        yield running


@pytest.fixture
def site(stack: Stack) -> Iterator[Site]:
    """An organization of its own."""
    running = Site(stack)
    yield running
    running.close()


@pytest.mark.parametrize("failpoint", POINTS)
def test_ingest_dies(site: Site, armed: Path, failpoint: str) -> None:
    """The process ends at a point between reading a call and having published it; the next one does not."""
    armed.write_text(failpoint)
    site.stack.restart(INGEST)
    assert not armed.exists()
    site.send_through_its_end()
    site.check()
    wait_until(lambda: site.published() == site.newest(), timeout=PATIENCE_SECONDS, what="every publication")


@pytest.mark.parametrize("name", ["nats", "postgres"])
def test_a_store_dies(site: Site, name: str) -> None:
    sending = threading.Thread(target=site.send_all)
    sending.start()
    wait_until(lambda: len(site.acknowledged) > BATCH * 5, timeout=PATIENCE_SECONDS, what="some acknowledgements")
    site.stack.kill(name)
    site.stack.restart(name)
    sending.join()
    site.check()
    wait_until(lambda: site.published() == site.newest(), timeout=PATIENCE_SECONDS, what="every publication")


def test_the_bus_loses_everything(site: Site) -> None:
    site.send_all()
    nats = site.stack.nats
    assert nats is not None
    site.stack.kill("nats")
    nats.wipe_store()
    site.stack.restart("nats")
    site.check()
