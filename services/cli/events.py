"""`farebox events import`: bulk backfill from a file, resumable, with an exact report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import grpc
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from farebox.ingest.v1 import usage_event_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as service_grpc
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.errors import retry_after_seconds
from services.cli import progress_file
from services.cli.event_file import Line, read_lines

# What one call may carry.
BATCH_EVENTS = 1_000
BATCH_BYTES = 3 * 1024 * 1024
TIMEOUT_SECONDS = 60
# Long enough for a restart of the service; after that a person should look. Continuing later loses nothing.
GIVE_UP_SECONDS = 120
PAUSE_SECONDS = 1
_RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)
_ACCEPTED = "accepted"


@click.group()
def events() -> None:
    """Work with usage events."""


@events.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--organization", envvar="FAREBOX_ORGANIZATION_ID", required=True, help="Id of the organization.")
@click.option("--address", envvar="INGEST_ADDRESS", default="127.0.0.1:50051", show_default=True)
@click.option("--restart", is_flag=True, help="Begin anew, whatever an earlier run has noted.")
def import_(file: Path, organization: str, address: str, restart: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Import FILE (.ndjson or .csv); after an interruption the same command continues. No event counts twice."""
    try:
        progress = progress_file.load(file, organization, restart=restart)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    channel = open_channel(address)
    try:
        _import(file, progress, service_grpc.UsageEventServiceStub(channel))
    except grpc.RpcError as error:
        raise click.ClickException(f"{error}\nrun the same command again to go on") from error
    finally:
        channel.close()
    _report(file, progress)


def _import(file: Path, progress: progress_file.Progress, stub: Any) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=Console(stderr=True)) as bar,
        progress_file.problems_of(file).open("ab") as problems,
    ):
        task = bar.add_task(file.name, total=progress.file_bytes, completed=progress.offset)
        for lines in _batches(read_lines(file, offset=progress.offset, number=progress.line)):
            results = _send(stub, progress.organization, lines)
            for result in results:
                problems.write(msgspec.json.encode(result) + b"\n")
            problems.flush()
            progress.add(_count(lines, results))
            progress.offset, progress.line = lines[-1].end, lines[-1].number
            progress.problem_bytes = problems.tell()
            progress_file.save(file, progress)
            bar.update(task, completed=progress.offset)


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    size = 0
    for line in lines:
        own = line.event.ByteSize() if line.event else 0
        if batch and (len(batch) == BATCH_EVENTS or size + own > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += own
    if batch:
        yield batch


def _send(stub: Any, organization: str, lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Send a batch; returns a record for each line that was not plainly accepted, in order."""
    results = [
        {"line": line.number, "outcome": "rejected", "reason": "invalid_format", "description": line.problem}
        for line in lines
        if line.event is None
    ]
    sent = [line for line in lines if line.event is not None]
    if sent:
        answer = _call(stub, organization, [line.event for line in sent])
        results += [_result(sent[detail.index].number, detail) for detail in answer.details]
    return sorted(results, key=lambda result: int(result["line"]))


def _result(number: int, detail: pb.IngestDetail) -> dict[str, Any]:
    return {
        "line": number,
        "transaction_id": detail.transaction_id,
        "outcome": pb.IngestOutcome.Name(detail.outcome).removeprefix("INGEST_OUTCOME_").lower(),
        "reason": detail.reason,
        "field": detail.field,
        "description": detail.description,
    }


def _call(stub: Any, organization: str, batch: Sequence[Any]) -> Any:
    """Send until the call is answered.

    Events that were stored already are answered as duplicates, so none counts twice.
    """
    request = service_pb.IngestUsageEventsRequest(events=batch)
    metadata = [(ORGANIZATION_KEY, organization)]
    give_up = time.monotonic() + GIVE_UP_SECONDS
    while True:
        try:
            return stub.IngestUsageEvents(request, metadata=metadata, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            if error.code() not in _RETRIED or time.monotonic() > give_up:
                raise
            time.sleep(retry_after_seconds(error) or PAUSE_SECONDS)


def _count(lines: Sequence[Line], results: Sequence[dict[str, Any]]) -> Counter[str]:
    counted = Counter(str(result["outcome"]) for result in results)
    counted[_ACCEPTED] = len(lines) - len(results)
    return counted


def _report(file: Path, progress: progress_file.Progress) -> None:
    table = Table("outcome", "events")
    for outcome, count in sorted(progress.outcomes.items()):
        table.add_row(outcome, f"{count:,}")
    table.add_row("total", f"{sum(progress.outcomes.values()):,}")
    console = Console()
    console.print(table)
    if progress.problem_bytes:
        console.print(f"every line that was not plainly accepted: {progress_file.problems_of(file)}")
