"""Load on an HTTP server from a process of its own: requests made beforehand, sent over connections that stay open.

    python -m benchmarks.http_load HOST PORT CONNECTIONS FILE

The file holds requests, each after its length. Each connection sends its next one as soon as it is answered. It is one
loop over raw sockets that looks at the status and the length of an answer and no further: the load runs on the
server's own cores, and what it takes is missing there.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_LENGTH = struct.Struct("<I")
_HEAD_ENDS = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_READ_BYTES = 256 * 1024
# A server that answers nobody for so long never will.
PATIENCE_SECONDS = 30.0
PERCENTILES = (50, 99)


@dataclass(frozen=True)
class Figures:
    """What one round of load showed.

    Attributes:
        rate: answers a second.
        milliseconds: from sending to the whole answer, by percentile.
    """

    rate: float
    milliseconds: dict[int, float]


def run(address: tuple[str, int], connections: int, requests: Iterable[bytes]) -> Figures:
    """Send requests over this many connections, in a process of its own.

    Raises:
        subprocess.CalledProcessError: a request was refused; the process has written its answer.
    """
    with tempfile.NamedTemporaryFile() as file:
        for request in requests:
            file.write(_LENGTH.pack(len(request)) + request)
        file.flush()
        arguments = [address[0], str(address[1]), str(connections), file.name]
        command = [sys.executable, "-m", "benchmarks.http_load", *arguments]
        answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return Figures(answer["rate"], {int(name): value for name, value in answer["milliseconds"].items()})


class _Connection:
    """One connection, and the request that is on its way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = self._socket.fileno()
        self._received = b""
        self._sent_at = 0.0

    def send(self, request: bytes) -> None:
        self._sent_at = time.perf_counter()
        self._socket.sendall(request)

    def receive(self) -> float | None:
        """Seconds that the answer took once it is whole, else None."""
        part = self._socket.recv(_READ_BYTES)
        if not part:
            sys.exit("the server closed a connection")
        self._received += part
        head, ends, body = self._received.partition(_HEAD_ENDS)
        length = _CONTENT_LENGTH.search(head) if ends else None
        if length is None or len(body) < int(length[1]):
            return None
        if b" 200 " not in head[:16]:
            sys.exit(f"refused: {self._received[:2000]!r}")
        self._received = b""
        return time.perf_counter() - self._sent_at


def _drive(connections: Sequence[_Connection], requests: Iterator[bytes]) -> list[float]:
    """Send everything and wait for every answer; seconds of each."""
    poll, by_number = select.epoll(), {connection.number: connection for connection in connections}
    under_way, seconds = 0, []
    for connection, request in zip(connections, requests, strict=False):
        poll.register(connection.number, select.EPOLLIN)
        connection.send(request)
        under_way += 1
    while under_way:
        ready = poll.poll(PATIENCE_SECONDS)
        if not ready:
            sys.exit(f"no answer for {PATIENCE_SECONDS:g} s")
        for number, _ in ready:
            connection = by_number[number]
            took = connection.receive()
            if took is None:
                continue
            seconds.append(took)
            request = next(requests, None)
            if request is None:
                under_way -= 1
            else:
                connection.send(request)
    return seconds


def _read(path: str) -> list[bytes]:
    data, place, requests = Path(path).read_bytes(), 0, []
    while place < len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        requests.append(data[place : place + length])
        place += length
    return requests


def main() -> None:
    """Send what the command line names, and print one JSON line."""
    host, port, count, path = sys.argv[1:]
    requests = _read(path)
    connections = [_Connection((host, int(port))) for _ in range(int(count))]
    began = time.perf_counter()
    seconds = sorted(_drive(connections, iter(requests)))
    rate = len(seconds) / (time.perf_counter() - began)
    slowest = {share: round(seconds[(len(seconds) - 1) * share // 100] * 1000, 2) for share in PERCENTILES}
    print(json.dumps({"rate": rate, "milliseconds": slowest}))


if __name__ == "__main__":
    main()
