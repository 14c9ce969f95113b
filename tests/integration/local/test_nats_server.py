"""The local NATS: synced to disk, restartable on its ports, and its store can be lost on purpose."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import StorageType, StreamConfig

from services.kernel.errors import FailedPreconditionError, UnavailableError
from services.local.managed import ProcessFailedError
from services.local.nats_server import NatsServer
from services.local.ports import Port
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.close()


async def connect(url: str) -> Client:
    return await nats.connect(url, allow_reconnect=False, connect_timeout=PATIENCE_SECONDS)


def publish(url: str, count: int) -> None:
    async def run() -> None:
        client = await connect(url)
        jetstream = client.jetstream()
        await jetstream.add_stream(
            StreamConfig(name="TEST", subjects=["test.>"], storage=StorageType.FILE, max_bytes=1024**2)
        )
        for number in range(count):
            await jetstream.publish("test.thing", str(number).encode())
        await client.close()

    asyncio.run(run())


def stored(url: str) -> dict[str, int]:
    """Messages by stream."""

    async def run() -> dict[str, int]:
        client = await connect(url)
        streams = await client.jetstream().streams_info()
        await client.close()
        return {str(stream.config.name): stream.state.messages for stream in streams}

    return asyncio.run(run())


def test_synced_and_bounded(server: NatsServer) -> None:
    """An acknowledged message is on the disk, and the store cannot fill the disk."""
    with urllib.request.urlopen(f"{server.monitor_url}/jsz", timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own server
        state = json.load(answer)
    assert state["config"]["sync_always"] is True
    assert state["config"]["max_storage"] == 8 * 1024**3
    assert Path(state["config"]["store_dir"]).is_relative_to(server.directory)


def test_kill_keeps_the_messages(server: NatsServer) -> None:
    url = server.url
    publish(url, 10)
    server.kill9()
    assert not server.is_running
    server.start()
    assert server.url == url
    assert stored(url) == {"TEST": 10}
    server.restart()
    assert stored(url) == {"TEST": 10}


def test_second_start_reuses_the_store(tmp_path: Path) -> None:
    for expected in ({}, {"TEST": 3}):
        server = NatsServer(tmp_path / "nats")
        server.start()
        assert stored(server.url) == expected
        publish(server.url, 3)
        server.close()


def test_wipe(server: NatsServer) -> None:
    """A lost store is empty, not an error."""
    publish(server.url, 3)
    with pytest.raises(FailedPreconditionError):
        server.wipe_store()
    server.kill9()
    server.wipe_store()
    server.start()
    assert stored(server.url) == {}


def test_given_port(tmp_path: Path) -> None:
    free = Port()
    number = free.number
    free.release()
    server = NatsServer(tmp_path / "nats", port=number)
    server.start()
    assert server.port == number
    server.close()


def test_port_in_use(server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.local.ports.BUSY_SECONDS", 0.1)
    with pytest.raises(UnavailableError, match="in use"):
        NatsServer(tmp_path / "other", port=server.port)


def test_start_failure_shows_the_log(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats")
    (tmp_path / "nats" / "nats.conf").write_text("jetstream: [")
    with pytest.raises(ProcessFailedError, match="Parse error on line 1"):
        server.start()
    server.close()
