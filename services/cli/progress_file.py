"""How far an import has come, beside the file that is imported, so that it can go on after anything.

`FILE.progress.json` is written after every acknowledged batch, and `FILE.problems.ndjson` holds a line for each event
that was not plainly accepted; a crash between both is mended by cutting the problems to the length that was noted.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec


class Progress(msgspec.Struct):
    """What an import has done so far.

    Attributes:
        file_bytes: size of the file when it began; another size means another file.
        organization: for whom.
        offset: bytes that are done.
        line: number of the last line that is done.
        problem_bytes: length of the problems file.
        outcomes: events by outcome.
    """

    file_bytes: int
    organization: str
    offset: int = 0
    line: int = 0
    problem_bytes: int = 0
    outcomes: dict[str, int] = msgspec.field(default_factory=dict)

    def add(self, outcomes: Counter[str]) -> None:
        """Count the outcomes of a batch."""
        self.outcomes = dict(Counter(self.outcomes) + outcomes)


def path_of(file: Path) -> Path:
    """Where the progress of a file is kept."""
    return file.with_name(f"{file.name}.progress.json")


def problems_of(file: Path) -> Path:
    """Where the problems of a file are listed."""
    return file.with_name(f"{file.name}.problems.ndjson")


def load(file: Path, organization: str, *, restart: bool) -> Progress:
    """The progress to go on from.

    Raises:
        ValueError: the progress beside the file is of another file or organization.
    """
    fresh = Progress(file.stat().st_size, organization)
    path = path_of(file)
    if restart or not path.exists():
        problems_of(file).write_bytes(b"")
        return fresh
    known = msgspec.json.decode(path.read_bytes(), type=Progress)
    if (known.file_bytes, known.organization) != (fresh.file_bytes, organization):
        raise ValueError(f"{path} is of another file or organization; use --restart to begin anew")
    os.truncate(problems_of(file), known.problem_bytes)
    return known


def save(file: Path, progress: Progress) -> None:
    """Note the progress, safely: a crash leaves the old note or the new one."""
    path = path_of(file)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as out:
        out.write(msgspec.json.encode(progress))
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)
