"""The stack's processes: told the right things, and never left behind, whatever ends their parent."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from services.chassis.provision import SERVICES
from services.chassis.wait import wait_until
from services.kernel.errors import FailedPreconditionError, NotFoundError
from services.local.managed import ManagedProcess, ProcessFailedError
from services.local.ports import Port
from services.local.stack import Stack
from services.local.stack_options import GATEWAY, StackOptions
from tests.support.patience import PATIENCE_SECONDS

FAKE = [sys.executable, str(Path(__file__).with_name("fake_service.py"))]
FAKES = dict.fromkeys([*SERVICES, GATEWAY], FAKE)

# Runs a stack of fakes like `make run`, and says which processes it has.
PARENT = """
import json, sys
from pathlib import Path
from services.local import __main__ as run
from services.local.stack_options import StackOptions

commands, data_dir = json.loads(sys.argv[1]), Path(sys.argv[2])
run.describe = lambda s: json.dumps({name: s.process(name).pid for name in s.names})
run.StackOptions = lambda **given: StackOptions(commands=commands, migrate=False, **given)
run.main(["--data-dir", str(data_dir), "--http-port", sys.argv[3]])
"""


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that any user may enter, which pytest's own is not."""
    directory = Path(tempfile.mkdtemp(prefix="farebox-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has, though its new parent has not noticed yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def all_gone(pids: dict[str, int]) -> bool:
    return all(is_gone(pid) for pid in pids.values())


def start_parent(data_dir: Path, http_port: int) -> tuple[subprocess.Popen[str], dict[str, int]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PARENT, json.dumps(FAKES), str(data_dir), str(http_port)]
    parent = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert parent.stdout is not None
    for line in parent.stdout:
        if line.startswith("{"):
            return parent, json.loads(line)
    raise AssertionError(f"the stack did not start: exit code {parent.wait()}")


def finish(parent: subprocess.Popen[str]) -> int:
    assert parent.stdout is not None
    parent.stdout.close()
    return parent.wait(timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_behind(room: Path, how: signal.Signals) -> None:
    """However `make run` ends, no process, port or lock outlives it, and the next start finds the data."""
    data_dir = room / "data"
    free = Port()
    free.release()
    parent, pids = start_parent(data_dir, free.number)
    assert set(pids) == {"nats", "postgres", "gateway", *(f"{service}-1" for service in SERVICES)}
    parent.send_signal(how)
    assert finish(parent) == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    wait_until(lambda: all_gone(pids), timeout=PATIENCE_SECONDS, what="every process to end")
    assert [path for path in data_dir.rglob("*") if path.suffix in {".pid", ".lock"}] == []
    again = StackOptions(data_dir=data_dir, commands=FAKES, migrate=False, ports={GATEWAY: free.number})
    with Stack(again) as stack:
        assert all(stack.process(name).is_running for name in pids)


def test_child_of_a_short_thread(tmp_path: Path) -> None:
    """A child lives on when the thread that asked for it ends."""
    process = ManagedProcess("sleeper", ["sleep", "60"], log_path=tmp_path / "log")
    thread = threading.Thread(target=process.launch)
    thread.start()
    thread.join()
    with pytest.raises(TimeoutError):
        wait_until(lambda: not process.is_running, timeout=0.3, what="the child to die, which it must not")
    process.kill()
    assert process.exit_code == -signal.SIGKILL


def test_stubborn_child(tmp_path: Path) -> None:
    """A process that ignores SIGTERM is killed after its grace."""
    program = "trap '' TERM; echo ready; while :; do read -t 1 _ || true; sleep 0.1; done"
    process = ManagedProcess("stubborn", ["bash", "-c", program], log_path=tmp_path / "log")
    process.launch()
    process.wait_ready(lambda: "ready" in process.tail(), timeout=PATIENCE_SECONDS)
    process.send(signal.SIGTERM)
    process.wait_stopped(grace=0.2)
    assert process.exit_code == -signal.SIGKILL


def test_missing_program(tmp_path: Path) -> None:
    process = ManagedProcess("missing", ["no-such-program"], log_path=tmp_path / "log")
    process.launch()
    with pytest.raises(ProcessFailedError, match="cannot run no-such-program"):
        process.wait_ready(lambda: False, timeout=PATIENCE_SECONDS)


def test_never_ready(tmp_path: Path) -> None:
    """Waiting for a process is bounded, and one that is not ready in time is ended."""
    process = ManagedProcess("idle", ["sleep", "60"], log_path=tmp_path / "log")
    process.launch()
    with pytest.raises(ProcessFailedError, match="gave up waiting for idle"):
        process.wait_ready(lambda: False, timeout=0.1)
    assert not process.is_running


def test_free_ports() -> None:
    """Reserved ports differ, and a server can listen on one while it is reserved, again and again."""
    ports = [Port() for _ in range(50)]
    assert len({port.number for port in ports}) == 50
    for _ in range(2):
        with socket.create_server(("127.0.0.1", ports[0].number)):
            socket.create_connection(("127.0.0.1", ports[0].number)).close()
    for port in ports:
        port.release()


def test_kill_and_restart(room: Path) -> None:
    """Each process can be killed and started again at the same address."""
    with Stack.temporary(commands=FAKES, migrate=False, replicas={"rating": 2}) as stack:
        assert {"rating-1", "rating-2"} < set(stack.names)
        assert stack.address("rating").startswith("ipv4:127.0.0.1:")
        data_dir, before = stack.data_dir, stack.address("rating")
        for name in ("nats", "postgres", "rating-2", "gateway"):
            pid = stack.process(name).pid
            stack.kill(name)
            assert is_gone(pid)
            stack.restart(name)
            assert stack.process(name).pid != pid
        assert stack.address("rating") == before
        with pytest.raises(NotFoundError):
            stack.kill("rating-3")
    assert not data_dir.exists()


def test_one_stack_per_directory(room: Path) -> None:
    options = StackOptions(data_dir=room / "data", services=(), gateway=False, ports={})
    with Stack(options), pytest.raises(FailedPreconditionError, match="another stack uses"):
        Stack(options).start()
    with Stack(options):
        pass


def test_failed_start(room: Path) -> None:
    """A service that ends at once fails the start with its last words, and everything else is stopped."""
    stack = Stack(
        StackOptions(
            data_dir=room / "data", commands=FAKES, migrate=False, ports={}, env_of={"margin-1": {"FAKE_FAIL": "1"}}
        )
    )
    with pytest.raises(ProcessFailedError, match="the fake was told to fail"):
        stack.start()
    assert not any(stack.process(name).is_running for name in stack.names)


def test_what_processes_are_told(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service is given the URL of its own database only, and the addresses of all services."""
    monkeypatch.setenv("MARGIN_DATABASE_URL", "postgresql://elsewhere/margin")
    record = room / "record"
    record.mkdir()
    with Stack.temporary(
        commands=FAKES, migrate=False, env={"FAKE_RECORD": str(record)}, env_of={"rating": {"EXTRA": "yes"}}
    ) as stack:
        told = {
            name: json.loads((record / f"{stack.process(name).pid}.json").read_text())
            for name in ("rating-1", "margin-1", "gateway")
        }
        rating = told["rating-1"]
        assert rating["DATABASE_URL"] == stack.database_url("rating")
        assert rating["INGEST_ADDRESS"] == stack.address("ingest")
        assert rating["NATS_URL"] == stack.nats_url
        assert rating["EXTRA"] == "yes"
        assert "EXTRA" not in told["margin-1"]
        assert "MARGIN_DATABASE_URL" not in rating
        assert told["margin-1"]["DATABASE_URL"] == "postgresql://elsewhere/margin"
        assert "DATABASE_URL" not in told["gateway"]
        assert stack.postgres is not None
        with psycopg.connect(stack.postgres.admin_url) as connection:
            rows = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'farebox_margin'").fetchall()
        assert rows == []
