"""A process that dies in the middle of the month, and the progress bar that shows how far the month is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from examples.story.report import Report
from services.local.stack import Stack


class Accident:
    """Kills one process once enough events are acknowledged, and starts it again; nothing where there is no victim."""

    def __init__(self, stack: Stack, victim: str | None, after: int) -> None:
        self._left = after
        self._thread = Thread(target=self._happen, args=(stack, victim)) if victim else None

    def watch(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        """Count what is acknowledged on its way to the progress bar."""

        def acknowledged(count: int) -> None:
            advance(count)
            before, self._left = self._left, self._left - count
            if self._thread is not None and before > 0 >= self._left:
                self._thread.start()

        return acknowledged

    def wait(self) -> None:
        """Wait until it is over."""
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join()

    @staticmethod
    def _happen(stack: Stack, victim: str) -> None:
        stack.kill(victim)
        stack.restart(victim)


@contextmanager
def progress_bar(report: Report, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of `total` steps; the value advances it."""
    columns = (TextColumn("  sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=report.console) as progress:
        task = progress.add_task("sending", total=total)
        yield lambda count: progress.advance(task, count)
