"""One server for several processes: found by each, alive while any of them lives, gone with the last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from services.chassis.wait import wait_until
from tests.support.patience import PATIENCE_SECONDS

# A user of the server: says where it is, and leaves when its standard input is closed.
USER = """
import sys
from pathlib import Path
from farebox.testing import ServerOptions
from farebox.testing.shared import shared

with shared(Path(sys.argv[1]), ServerOptions()) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


def start_user(directory: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", USER, str(directory)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def url_of(user: subprocess.Popen[str]) -> str:
    assert user.stdout is not None
    return user.stdout.readline().strip()


def is_gone(url: str) -> bool:
    try:
        httpx.get(f"{url}/healthz")
    except httpx.TransportError:
        return True
    return False


def test_users_meet_and_the_last_one_ends_it(tmp_path: Path) -> None:
    """Two that start at once get one server; one's death by kill -9 is its own; after the last nothing is left."""
    with start_user(tmp_path) as first, start_user(tmp_path) as second:
        url = url_of(first)
        assert url.startswith("http://127.0.0.1:")
        assert url_of(second) == url
        first.kill()
        first.wait()
        assert httpx.get(f"{url}/healthz").status_code == httpx.codes.OK
        second.communicate()
    assert second.returncode == 0
    wait_until(lambda: is_gone(url), timeout=PATIENCE_SECONDS, what="the server to end")
    assert not (tmp_path / "server.json").exists()
