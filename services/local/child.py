"""Launcher of a child process: ties its life to its parent's, drops root if asked, then becomes the command.

    python -I -S child.py <parent pid> <signal number> <uid:gid or -> <program> [argument …]

The kernel sends the signal to the process when its parent dies, even by kill -9 (Linux `PR_SET_PDEATHSIG`),
so nothing the local stack started outlives it. This is a program of its own and not a `preexec_fn`, because
code between fork and exec in a threaded parent may deadlock. It runs as a plain file, with the standard
library only, to start in 20 ms.

Two facts of the kernel shape it. A change of user clears the setting, so it is made after root was dropped.
And "parent" means the thread that forked: `services.local.managed` therefore forks from one thread that
lives as long as the process.
"""

from __future__ import annotations

import ctypes  # Imported here and not where it is used: once root is given up, the library may be out of reach.
import os
import sys

# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
# The exit code of a shell for a command that cannot be run; the reason goes to standard error, hence into the log.
EXIT_CANNOT_RUN = 127
ARGUMENTS_BEFORE_COMMAND = 3


def die_with_parent(parent: int, signal_number: int) -> None:
    """Have the kernel signal this process when `parent` dies; end at once if it is dead already.

    A process that forks workers of its own calls this in each worker, with its own pid. Only Linux can do this;
    elsewhere a child ends only by an orderly `stop()`.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        # The parent died between the fork and this call, so the signal was sent to nobody.
        sys.exit(EXIT_CANNOT_RUN)


def drop_root(uid: int, gid: int) -> None:
    """Become the user `uid` irrevocably, with no group but `gid`."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main(arguments: list[str]) -> None:
    """Prepare this process as told, then become the command."""
    parent, signal_number, user = arguments[:ARGUMENTS_BEFORE_COMMAND]
    command = arguments[ARGUMENTS_BEFORE_COMMAND:]
    if user != "-":
        uid, gid = user.split(":")
        drop_root(int(uid), int(gid))
    die_with_parent(int(parent), int(signal_number))
    try:
        os.execv(command[0], command)  # noqa: S606 - the command is an argument list of our own
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error}\n")
        sys.exit(EXIT_CANNOT_RUN)


if __name__ == "__main__":
    main(sys.argv[1:])
