"""How far an import has come, kept beside the imported file so that an interrupted import can continue.

`FILE.progress.json` is written after every acknowledged batch. `FILE.problems.ndjson` holds a line for each event that
was not plainly accepted. After a crash between both writes, the problems are cut to the length noted in the progress.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec


class Progress(msgspec.Struct):
    """What an import has done so far.

    Attributes:
        file_bytes: the size of the file when the import began; another size means another file.
        organization: whose events they are.
        offset: how many bytes are done.
        line: the number of the last line that is done.
        problem_bytes: the length of the problems file.
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
    """The progress to continue from.

    Raises:
        ValueError: the progress beside the file belongs to another file or organization.
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
    """Write the progress safely: a crash leaves either the old content or the new."""
    path = path_of(file)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as out:
        out.write(msgspec.json.encode(progress))
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)
