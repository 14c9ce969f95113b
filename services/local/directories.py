"""Directories of the local stack: open to the user PostgreSQL runs as, locked by one stack, or temporary."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.kernel.errors import FailedPreconditionError

# Everybody may enter and read; only the owner may write.
OPEN_MODE = 0o755


def make_directories(directory: Path) -> None:
    """Make `directory` and its missing parents, open to all; existing directories stay as they are."""
    if directory.exists():
        return
    make_directories(directory.parent)
    directory.mkdir(exist_ok=True)
    directory.chmod(OPEN_MODE)


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory that is deleted at the end.

    It is open to all because PostgreSQL may run as nobody; its data directory inside stays closed.
    """
    directory = Path(tempfile.mkdtemp(prefix="farebox-"))
    directory.chmod(OPEN_MODE)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def lock_directory(directory: Path) -> int:
    """Lock the directory for as long as the returned handle is open; the kernel releases the lock when we die.

    Raises:
        FailedPreconditionError: another process holds the lock.
    """
    make_directories(directory)
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        message = f"another stack uses {directory}"
        raise FailedPreconditionError("DATA_DIRECTORY_IN_USE", message, directory=directory) from error
    return handle
