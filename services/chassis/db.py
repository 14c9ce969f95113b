"""The database unit of work: one transaction, in one of two roles.

The request role is under row-level security and sees one organization. The worker role serves consumers, jobs and the
batch writer, whose transactions span organizations (ADR 0004). Both are reached from the service's login role, so one
`DATABASE_URL` is enough. A transaction that names no organization can read none (it fails closed).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url

from services.chassis.config import Settings
from services.kernel.errors import UnavailableError
from services.kernel.ids import OrganizationId

T = TypeVar("T")

# A black-holed connection hung for over 20 s without these settings and for 5.4 s with them (design: reliability).
CONNECT_TIMEOUT_SECONDS = 2
TCP_USER_TIMEOUT_MS = 3000
KEEPALIVE_SECONDS = 2
# Waiting longer than this for a row means that somebody holds it across something slow: it is better to fail and retry.
LOCK_TIMEOUT_MS = 10_000
# A caller that waits longer than this for a connection has reached its own deadline.
POOL_TIMEOUT_SECONDS = 5
# A command that loses a race this often in a row is reported to its caller.
MAX_ATTEMPTS = 4
# After a pause of this length a connection may be dead without our knowledge.
LINE_IDLE_SECONDS = 0.5

# Where a connection keeps what is to be done after its transaction.
_AFTER_COMMIT = "farebox.after_commit"

# What a statement can raise: SQLAlchemy's errors, and the driver's own where COPY and pipelines use it directly.
DATABASE_ERRORS = (sa.exc.SQLAlchemyError, psycopg.Error)

_RETRYABLE = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
# SQLSTATE class 54: the driver counts these as errors of the server, but they are the statement's own.
_TOO_MUCH = (
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
    psycopg.errors.TooManyColumns,
    psycopg.errors.TooManyArguments,
)


class Database:
    """One service's database, through two pools: the request role's and the worker role's."""

    def __init__(self, settings: Settings) -> None:
        self._url = make_url(settings.database_url.get_secret_value()).set(drivername="postgresql+psycopg")
        self._settings = settings
        self._request = self._engine("request")
        self._worker = self._engine("worker")
        self._sessions = self._engine("worker", pooled=False)
        self.committed = threading.Event()
        """Set after every commit in this process, so that the outbox relay reacts quickly without polling."""

    def _engine(self, role: str, *, pooled: bool = True) -> sa.Engine:
        options = (
            f"-c role={self._url.username}_{role} -c statement_timeout={self._settings.statement_timeout_ms} "
            f"-c lock_timeout={LOCK_TIMEOUT_MS} -c idle_in_transaction_session_timeout=60000 -c timezone=UTC"
        )
        arguments = {
            "options": options,
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
            "keepalives_idle": KEEPALIVE_SECONDS,
            "prepare_threshold": 3,
        }
        if not pooled:
            return sa.create_engine(self._url, poolclass=sa.NullPool, connect_args=arguments)
        return sa.create_engine(
            self._url,
            pool_size=self._settings.database_pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            pool_pre_ping=True,
            # The connection that was used last has its statements prepared and its caches warm.
            pool_use_lifo=True,
            connect_args=arguments,
        )

    @contextmanager
    def transaction(self, organization: OrganizationId) -> Iterator[Connection]:
        """A transaction of the request role that sees only this organization's rows."""
        with self._request.begin() as connection:
            connection.exec_driver_sql("SELECT set_config('farebox.organization_id', %s, true)", (organization,))
            with _then(connection) as waiting:
                yield connection
        self.committed.set()
        for work in waiting:
            work()

    @contextmanager
    def worker_transaction(self, *, quiet: bool = False) -> Iterator[Connection]:
        """A transaction of the worker role, across organizations: consumers, jobs and the batch writer only.

        Args:
            quiet: whether its commit does not wake the outbox relay, because it announces nothing.
        """
        with self._worker.begin() as connection, _then(connection) as waiting:
            yield connection
        if not quiet:
            self.committed.set()
        for work in waiting:
            work()

    @contextmanager
    def worker_session(self) -> Iterator[Connection]:
        """A connection of the worker role outside any transaction, for session-level locks.

        It comes from no pool and ends after its use, and so do its locks. So a holder of a lock for minutes takes no
        connection from others.
        """
        with self._sessions.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    def worker_line(self) -> WorkerLine:
        """Worker transactions for one busy thread, on a connection of its own."""
        return WorkerLine(self._worker)

    def dispose(self) -> None:
        """Close both pools."""
        self._request.dispose()
        self._worker.dispose()


def after_commit(tx: Connection, work: Callable[[], None]) -> None:
    """Do something once the transaction has committed, and not if it fails; the same thing is done once.

    What is committed stays so, whatever the work does, so it must see to its own errors.
    """
    tx.info.setdefault(_AFTER_COMMIT, {})[work] = None


@contextmanager
def _then(tx: Connection) -> Iterator[Mapping[Callable[[], None], None]]:
    """What is to be done after a transaction; a connection remembers nothing of an earlier one."""
    waiting: dict[Callable[[], None], None] = {}
    tx.info[_AFTER_COMMIT] = waiting
    try:
        yield waiting
    finally:
        tx.info.pop(_AFTER_COMMIT, None)


class WorkerLine:
    """Worker transactions of one thread that hardly pauses, all on one connection.

    The pool checks a connection each time it hands it out; for a thread with a hundred transactions a second each check
    is a needless round trip. And each wait for the database releases the interpreter and has to acquire it again, which
    costs more than the wait itself. So statements that can be sent together are.
    """

    def __init__(self, worker: sa.Engine) -> None:
        self._worker = worker
        self._connection: Connection | None = None
        self._used_at = 0.0

    @contextmanager
    def transaction_with(self, opening: str) -> Iterator[tuple[Connection, tuple[Any, ...]]]:
        """A transaction of the worker role; after a pause its connection is checked first.

        Args:
            opening: statements without values that are sent together with BEGIN. The last one returns one row, which is
                handed out with the connection.
        """
        if time.monotonic() - self._used_at > LINE_IDLE_SECONDS:
            self.close()
        if self._connection is None:
            # This class sends BEGIN and COMMIT itself.
            self._connection = self._worker.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            driver = driver_connection(self._connection)
            yield self._connection, _last_row(driver.execute(f"BEGIN; {opening}"))
            driver.commit()
        except BaseException:
            self._give_up()
            raise
        self._used_at = time.monotonic()

    def _give_up(self) -> None:
        """End the transaction, whatever state it is in; a connection that cannot even do that is closed."""
        connection = self._connection
        if connection is None:
            return
        try:
            # If SQLAlchemy saw the connection die, it has released it already.
            if not connection.invalidated:
                driver_connection(connection).rollback()
                return
        except psycopg.Error:
            connection.invalidate()
        self.close()

    def close(self) -> None:
        """Return the connection; the next transaction takes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _last_row(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    if row is None:
        raise RuntimeError("the opening of a transaction has no row")
    return row


def driver_connection(tx: Connection) -> psycopg.Connection[Any]:
    """The psycopg connection beneath a transaction, for COPY and pipelines."""
    connection = tx.connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise TypeError(f"expected a psycopg connection, got {type(connection).__name__}")
    return connection


def lost_a_race(error: BaseException) -> bool:
    """Whether an error means that a concurrent transaction won, so that the same command may simply be repeated."""
    return isinstance(_driver_error(error), _RETRYABLE)


def is_unavailable(error: BaseException) -> bool:
    """Whether an error means that the database is unavailable, not that the statement is wrong."""
    if isinstance(error, sa.exc.TimeoutError):
        return True
    cause = _driver_error(error)
    if isinstance(cause, _TOO_MUCH):
        return False
    if not isinstance(error, sa.exc.DBAPIError):
        return isinstance(error, psycopg.OperationalError)
    return error.connection_invalidated or isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError))


def is_passing(error: BaseException) -> bool:
    """Whether an error has nothing to do with the work itself: the same work will succeed later.

    A statement that took too long does not count as passing: the values it was given may be the cause, which must then
    be found.
    """
    if ran_too_long(error):
        return False
    return isinstance(error, UnavailableError) or is_unavailable(error) or lost_a_race(error)


def ran_too_long(error: BaseException) -> bool:
    """Whether the server cancelled a statement for its duration, be it the statement's fault or a busy server's."""
    return isinstance(_driver_error(error), psycopg.errors.QueryCanceled)


def _driver_error(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, sa.exc.DBAPIError) else error


def retrying(body: Callable[[], T]) -> T:
    """Run a command, which is one transaction, again when it lost a race; at most `MAX_ATTEMPTS` times."""
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return body()
        except (sa.exc.DBAPIError, psycopg.Error) as error:
            if not lost_a_race(error):
                raise
    return body()
