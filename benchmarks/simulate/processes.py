"""Simulations side by side: each in a process and a database of its own, with a progress bar for each."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
from collections.abc import Sequence
from datetime import datetime
from multiprocessing.managers import ValueProxy

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.simulate.play import BEGINS_AT, Scale
from benchmarks.simulate.run import Outcome, simulate
from services.chassis.migrate import migrate
from services.local.postgres_server import PostgresServer

REFRESH_SECONDS = 0.5


def run(scales: Sequence[Scale], console: Console) -> Outcome:
    """All simulations at once, with a bar for each."""
    # A power cut may lose anything here.
    with PostgresServer.temporary(settings={"fsync": "off"}) as server, multiprocessing.Manager() as manager:
        server.provision(["rating"])
        migrate("services.rating", server.service_url("rating"))
        told = [manager.Value("d", 0.0) for _ in scales]
        jobs = [(scale, server.clone_database("rating"), at) for scale, at in zip(scales, told, strict=True)]
        with multiprocessing.get_context("spawn").Pool(len(scales)) as pool:
            running = pool.starmap_async(_work, jobs)
            _watch(scales, told, running, console)
            outcome = Outcome()
            for result in running.get():
                outcome += result
            return outcome


def _work(scale: Scale, database_url: str, told: ValueProxy[float]) -> Outcome:
    """One simulation in a process of its own."""
    last_day = BEGINS_AT.date()

    def tell(at: datetime) -> None:
        nonlocal last_day
        if at.date() != last_day:
            last_day = at.date()
            told.value = at.timestamp()

    return simulate(scale, database_url, tell)


def _watch(
    scales: Sequence[Scale],
    told: Sequence[ValueProxy[float]],
    running: multiprocessing.pool.AsyncResult[list[Outcome]],
    console: Console,
) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[day]}"), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        begin = BEGINS_AT.timestamp()
        bars = [
            progress.add_task(f"seed {scale.seed}", total=scale.ends_at.timestamp() - begin, day="") for scale in scales
        ]
        while not running.ready():
            running.wait(REFRESH_SECONDS)
            for bar, at in zip(bars, told, strict=True):
                if at.value:
                    day = datetime.fromtimestamp(at.value, BEGINS_AT.tzinfo).date().isoformat()
                    progress.update(bar, completed=at.value - begin, day=day)
