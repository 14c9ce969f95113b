"""One Farebox for several processes, such as the workers of pytest-xdist: the first starts it, the last one ends it.

The server belongs to a process of its own, the keeper, since no worker knows whether it is the last. Two locks settle
everything; the kernel releases them when a process dies, however it dies:

    users    each worker shares it for as long as it uses the server; the keeper ends once it gets it for itself
    door     held by whoever looks whether there is a server, starts one, or ends it

    python -m farebox.testing.shared DIRECTORY OPTIONS       (the keeper; started by the first worker)
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from farebox.testing.server import FareboxServer, ServerOptions, running
from services.chassis.provision import SERVICES
from services.chassis.wait import wait_until

# The stack's own waits are shorter, and their errors say more; this limit ends a keeper that hangs.
START_SECONDS = 180.0
# How soon an unused server goes away; nothing else waits for it.
LOOK_SECONDS = 0.5


@contextmanager
def shared(directory: Path, options: ServerOptions) -> Iterator[FareboxServer]:
    """The server of all processes that name the same directory; started if there is none yet.

    Args:
        directory: where the processes meet; created if missing.
        options: what the server should be; all processes must ask for the same.

    Raises:
        RuntimeError: it could not be started; the message shows what the keeper said.
        TimeoutError: the keeper did not say anything within `START_SECONDS`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory / "users", fcntl.LOCK_SH):
        with _locked(directory / "door", fcntl.LOCK_EX):
            if not _card(directory).exists():
                _start_keeper(directory, options)
            known = json.loads(_card(directory).read_text())
        with FareboxServer(known["url"], known["addresses"]) as server:
            yield server


def keep(directory: Path, options: ServerOptions) -> None:
    """Run a server, publish where it is, and end it once nobody uses it any more."""
    with running(options) as server:
        card = {"url": server.url, "addresses": {service: server.address(service) for service in SERVICES}}
        draft = _card(directory).with_suffix(".draft")
        draft.write_text(json.dumps(card))
        draft.rename(_card(directory))
        while not _is_left(directory):
            time.sleep(LOOK_SECONDS)


def _is_left(directory: Path) -> bool:
    """Whether nobody uses the server; if so, its card is removed, and the next process starts another server."""
    with (
        _locked(directory / "door", fcntl.LOCK_EX | fcntl.LOCK_NB) as is_mine,
        _locked(directory / "users", fcntl.LOCK_EX | fcntl.LOCK_NB) as is_unused,
    ):
        if not (is_mine and is_unused):
            return False
        _card(directory).unlink()
        return True


def _start_keeper(directory: Path, options: ServerOptions) -> None:
    """Start the keeper and wait until it has published where the server is."""
    log = directory / "keeper.log"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "farebox.testing.shared", str(directory), json.dumps(asdict(options))]
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches the workers, and the keeper ends once they have ended.
        keeper = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    wait_until(
        lambda: _card(directory).exists() or keeper.poll() is not None,
        timeout=START_SECONDS,
        what="the shared Farebox to start",
    )
    if not _card(directory).exists():
        raise RuntimeError(f"the shared Farebox did not start:\n{log.read_text(errors='replace')}")
    # The keeper outlives us, and nobody waits for it; this stops Popen from warning about that.
    keeper.returncode = 0


def _card(directory: Path) -> Path:
    """The file in which the keeper publishes where the server is."""
    return directory / "server.json"


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[bool]:
    """Lock a file as `flock` does; False if it was asked not to wait and another process holds the lock."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, kind)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), ServerOptions(**json.loads(sys.argv[2])))
