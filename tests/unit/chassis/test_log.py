"""Lines of the log: lines of success may wait, lines of failure are written at once, and a line is never torn."""

from __future__ import annotations

import atexit
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from services.chassis import log
from services.chassis.wait import wait_until
from tests.support.patience import PATIENCE_SECONDS


def test_a_line_of_what_went_well_waits() -> None:
    stream = io.BytesIO()
    lines = log.Lines(stream)
    lines.info(b"one")
    lines.debug(b"two")
    assert stream.getvalue() == b""
    lines.write()
    assert stream.getvalue() == b"one\ntwo\n"


@pytest.mark.parametrize("level", ["warning", "error", "critical"])
def test_anything_worse_is_written_at_once_after_what_waits(level: str) -> None:
    stream = io.BytesIO()
    lines = log.Lines(stream)
    lines.info(b"one")
    lines.info(b"two")
    getattr(lines, level)(b"three")
    assert stream.getvalue() == b"one\ntwo\nthree\n"
    lines.write()
    assert stream.getvalue() == b"one\ntwo\nthree\n"


def test_lines_reach_the_stream_beneath_a_buffer() -> None:
    """Standard error may be buffered; what is written must not wait in there."""
    beneath = io.BytesIO()
    # BytesIO serves as a raw stream here: it accepts any bytes.
    lines = log.Lines(io.BufferedWriter(beneath))
    lines.error(b"one")
    assert beneath.getvalue() == b"one\n"


def test_waiting_lines_are_written_in_time_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    at_the_end: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", at_the_end.append)
    stream = io.BytesIO()
    lines = log.Lines(stream)
    lines.start()
    lines.info(b"one")
    wait_until(lambda: stream.getvalue() == b"one\n", timeout=PATIENCE_SECONDS, what="the line to be written")
    assert at_the_end == [lines.write]


class TwoParts(io.BytesIO):
    """A stream whose first write stops in the middle, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.in_the_middle = threading.Event()
        self.go_on = threading.Event()

    def write(self, data: Any) -> int:
        """Half of it, then the rest."""
        half = len(data) // 2
        super().write(data[:half])
        self.in_the_middle.set()
        assert self.go_on.wait(PATIENCE_SECONDS)
        return half + super().write(data[half:])


def test_a_line_is_not_torn_by_another() -> None:
    stream = TwoParts()
    lines = log.Lines(stream)
    first = threading.Thread(target=lines.error, args=(b"first",))
    second = threading.Thread(target=lines.error, args=(b"second",))
    first.start()
    assert stream.in_the_middle.wait(PATIENCE_SECONDS)
    second.start()
    wait_until(lambda: lines._waiting, timeout=PATIENCE_SECONDS, what="the second line to come")
    stream.go_on.set()
    first.join(PATIENCE_SECONDS)
    second.join(PATIENCE_SECONDS)
    assert stream.getvalue() == b"first\nsecond\n"


def test_concurrent_writers_lose_nothing() -> None:
    """Every line arrives whole and once, those of one writer in their order."""
    stream = io.BytesIO()
    lines = log.Lines(stream)
    together = threading.Barrier(8)

    def run(writer: int) -> None:
        together.wait(PATIENCE_SECONDS)
        for number in range(500):
            (lines.error if number % 50 == 0 else lines.info)(b"%d %d" % (writer, number))

    writers = [threading.Thread(target=run, args=(writer,)) for writer in range(8)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join(PATIENCE_SECONDS)
    lines.write()
    written = [tuple(map(int, line.split())) for line in stream.getvalue().splitlines()]
    for writer in range(8):
        assert [number for who, number in written if who == writer] == list(range(500))
    assert len(written) == 8 * 500


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.BytesIO]:
    """What a process named `rating` writes to its standard error from level info on."""
    beneath = io.BytesIO()
    before = structlog.get_config()
    # No terminal; it is kept here because it closes what is beneath when it goes.
    standard_error = io.TextIOWrapper(beneath)
    monkeypatch.setattr(sys, "stderr", standard_error)
    # Its thread and its hook at the end of the process would outlive the test.
    monkeypatch.setattr(log.Lines, "start", lambda _: None)
    log.configure("rating", "info")
    yield beneath
    structlog.configure(**before)


def _written(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_says_when_how_bad_and_who(stream: io.BytesIO) -> None:
    begun = datetime.now(UTC)
    logger = log.logger("some.module")
    logger.info("call", method="GetPlan", ms=1.5)
    assert _written(stream) == []
    logger.warning("waits")
    call, waits = _written(stream)
    times = [line.pop("timestamp") for line in (call, waits)]
    assert call == {
        "event": "call",
        "level": "info",
        "service": "rating",
        "module": "some.module",
        "method": "GetPlan",
        "ms": 1.5,
    }
    assert waits == {"event": "waits", "level": "warning", "service": "rating", "module": "some.module"}
    for text in times:
        assert text.endswith("Z")
        assert timedelta(0) <= datetime.fromisoformat(text) - begun < timedelta(seconds=PATIENCE_SECONDS)
    assert times == sorted(times)


def test_a_line_carries_the_exception(stream: io.BytesIO) -> None:
    """On one line, with its causes; given as an object, or as the current exception."""
    logger = log.logger("some.module")
    try:
        raise ValueError("no such plan")  # noqa: TRY301 - a traceback is wanted
    except ValueError as error:
        logger.error("call_failed", exc_info=error)  # noqa: TRY400 - as chassis.rpc does it
        logger.exception("call_failed")
    for line in _written(stream):
        assert line["level"] == "error"
        assert "Traceback" in line["exception"]
        assert line["exception"].endswith("ValueError: no such plan")
        assert "exc_info" not in line
    assert len(_written(stream)) == 2


def test_what_json_does_not_know_is_written_as_text(stream: io.BytesIO) -> None:
    log.logger("some.module").error("odd", what=ValueError("x"))
    assert _written(stream)[0]["what"] == "x"


def test_lines_beneath_the_level_are_not_written(stream: io.BytesIO) -> None:
    logger = log.logger("some.module")
    logger.debug("detail")
    logger.error("bad")
    assert [line["event"] for line in _written(stream)] == ["bad"]


class _Broken(io.BytesIO):
    def write(self, _: object) -> int:
        raise BrokenPipeError


def test_a_stream_that_nobody_reads_harms_nobody() -> None:
    lines = log.Lines(_Broken())
    lines.info(b"one")
    lines.error(b"two")
    # Lines that could not be written are dropped and do not pile up.
    assert not lines._waiting
