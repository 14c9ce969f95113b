"""Running a server as `nobody` when we are root: PostgreSQL refuses root.

That user must be able to reach the data and the programs. The modes of directories that we did not make are never
loosened; if a parent directory bars the way (a home directory of mode 0700, say), the data or a copy of the programs
goes to a directory that everybody can enter, and a symbolic link stays in the place that was asked for.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

from services.chassis import log
from services.kernel.errors import FailedPreconditionError
from services.local.directories import OPEN_MODE, make_directories
from services.local.managed import User

# On every Linux, everybody can enter it and only root can write to it. It survives a reboot, which /tmp may not.
OPEN_ROOM = Path("/var/lib/farebox")
UNPRIVILEGED = "nobody"


def unprivileged_user() -> User | None:
    """The user a server must run as: `nobody` if we are root, otherwise None, which means ourselves."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(UNPRIVILEGED)
    return User(entry.pw_uid, entry.pw_gid)


def may_reach(user: User, path: Path) -> bool:
    """Whether `user` may enter every directory on the way to `path`, and `path` itself if it is a directory."""
    resolved = path.resolve()
    return all(_may_enter(user, step) for step in [*resolved.parents, resolved] if step.is_dir())


def reachable_directory(directory: Path, user: User | None) -> Path:
    """`directory`, created if missing, or the place it was moved to because `user` could not reach it there.

    Raises:
        FailedPreconditionError: it is out of the user's reach and already holds something.
    """
    if directory.is_symlink() and not directory.exists():
        directory.unlink()
    make_directories(directory)
    if user is None or may_reach(user, directory):
        return directory.resolve()
    return _move_to_open_room(directory)


def reachable_programs(programs: Path, libraries: Path, user: User | None) -> Path:
    """`programs`, or a copy of them (beside one of `libraries`) that `user` can reach."""
    if user is None or may_reach(user, programs / "bin"):
        return programs
    # Named by age and size, so that an upgrade of the package makes a new copy.
    about = (programs / "bin" / "postgres").stat()
    copy = OPEN_ROOM / f"programs-{about.st_mtime_ns:x}-{about.st_size:x}"
    inside = Path(programs.parent.name) / programs.name
    if not copy.exists():
        make_directories(OPEN_ROOM)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=OPEN_ROOM))
        shutil.copytree(programs, draft / inside, symlinks=True)
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        _open_to_all(draft)
        _keep_first(draft, copy)
        log.logger(__name__).info(
            "copied PostgreSQL to where its user can reach it", programs=str(programs), copy=str(copy)
        )
    return copy / inside


def _may_enter(user: User, directory: Path) -> bool:
    """By its mode alone: only the owner's bits count for the owner, only the group's bits for the group."""
    about = directory.stat()
    if about.st_uid == user.uid:
        return bool(about.st_mode & stat.S_IXUSR)
    if about.st_gid == user.gid:
        return bool(about.st_mode & stat.S_IXGRP)
    return bool(about.st_mode & stat.S_IXOTH)


def _move_to_open_room(directory: Path) -> Path:
    if any(directory.iterdir()):
        message = f"{directory} holds data that {UNPRIVILEGED} cannot reach; make its parents enterable"
        raise FailedPreconditionError("DATA_OUT_OF_REACH", message, directory=directory)
    make_directories(OPEN_ROOM)
    place = Path(tempfile.mkdtemp(prefix=f"{directory.name}-", dir=OPEN_ROOM))
    place.chmod(OPEN_MODE)
    directory.rmdir()
    directory.symlink_to(place)
    log.logger(__name__).warning(
        "PostgreSQL's user cannot reach the data directory", asked=str(directory), used=str(place)
    )
    return place


def _open_to_all(tree: Path) -> None:
    """Let everybody read, and enter or run whatever the owner may enter or run."""
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _keep_first(draft: Path, final: Path) -> None:
    """Rename `draft` to `final`, unless another process has just done the same with the same content."""
    try:
        draft.rename(final)
    except OSError:
        if not final.exists():
            raise
        shutil.rmtree(draft)
